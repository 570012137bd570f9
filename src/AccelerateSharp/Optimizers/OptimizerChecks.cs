namespace AccelerateSharp.Optimizers;

/// <summary>What every optimizer refuses.</summary>
internal static class OptimizerChecks
{
    public static void Adam(string optimizer, double lr, double beta1, double beta2, double eps, double weightDecay)
    {
        NotNegative(optimizer, nameof(lr), lr);
        Decay(optimizer, nameof(beta1), beta1);
        Decay(optimizer, nameof(beta2), beta2);
        NotNegative(optimizer, nameof(eps), eps);
        NotNegative(optimizer, "weight_decay", weightDecay);
    }

    public static void NotNegative(string optimizer, string name, double value)
    {
        if (!(value >= 0)) throw new ArgumentOutOfRangeException(name, value, $"{optimizer}: {name} must be 0 or more.");
    }

    public static void Decay(string optimizer, string name, double value)
    {
        if (!(value is >= 0 and < 1)) throw new ArgumentOutOfRangeException(name, value, $"{optimizer}: {name} must be at least 0 and less than 1.");
    }
}
