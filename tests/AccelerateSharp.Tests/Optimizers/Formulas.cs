namespace AccelerateSharp.Tests.Optimizers;

/// <summary>One step of each optimizer as the papers and PyTorch write it, element by element in double precision.</summary>
internal static class Formulas
{
    /// <summary>A parameter's numbers: the weights and whatever the formula remembers of them.</summary>
    internal sealed class Weights(double[] values, int rows = 0)
    {
        public double[] Values { get; } = values;

        public double[] First { get; } = new double[values.Length];

        public double[] Second { get; } = new double[values.Length];

        public double[] Largest { get; } = new double[values.Length];

        public double[] RowVariance { get; } = new double[rows];

        public double[] ColumnVariance { get; } = new double[rows == 0 ? 0 : values.Length / rows];

        public int Steps { get; set; }
    }

    public static void Adam(
        Weights w, double[] gradient, bool decoupled, double lr, double beta1, double beta2, double eps, double decay, bool amsgrad = false, bool maximize = false)
    {
        w.Steps++;
        for (var i = 0; i < gradient.Length; i++)
        {
            var g = maximize ? -gradient[i] : gradient[i];
            if (decoupled) w.Values[i] *= 1 - (lr * decay);
            else g += decay * w.Values[i];
            w.First[i] = (beta1 * w.First[i]) + ((1 - beta1) * g);
            w.Second[i] = (beta2 * w.Second[i]) + ((1 - beta2) * g * g);
            w.Largest[i] = Math.Max(w.Largest[i], w.Second[i]);
            var average = w.First[i] / (1 - Math.Pow(beta1, w.Steps));
            var square = (amsgrad ? w.Largest[i] : w.Second[i]) / (1 - Math.Pow(beta2, w.Steps));
            w.Values[i] -= lr * average / (Math.Sqrt(square) + eps);
        }
    }

    public static void Sgd(
        Weights w, double[] gradient, double lr, double momentum = 0, double dampening = 0, double decay = 0, bool nesterov = false, bool maximize = false)
    {
        w.Steps++;
        for (var i = 0; i < gradient.Length; i++)
        {
            var g = (maximize ? -gradient[i] : gradient[i]) + (decay * w.Values[i]);
            if (momentum != 0)
            {
                w.First[i] = w.Steps == 1 ? g : (momentum * w.First[i]) + ((1 - dampening) * g);
                g = nesterov ? g + (momentum * w.First[i]) : w.First[i];
            }

            w.Values[i] -= lr * g;
        }
    }

    public static void Lion(Weights w, double[] gradient, double lr, double beta1, double beta2, double decay)
    {
        for (var i = 0; i < gradient.Length; i++)
        {
            var direction = Math.Sign((beta1 * w.First[i]) + ((1 - beta1) * gradient[i]));
            w.Values[i] -= lr * (direction + (decay * w.Values[i]));
            w.First[i] = (beta2 * w.First[i]) + ((1 - beta2) * gradient[i]);
        }
    }

    public static void Adafactor(Weights w, double[] gradient, double lr, double beta2Decay, double eps1, double eps2, double d, double decay)
    {
        w.Steps++;
        var newest = Math.Pow(w.Steps, beta2Decay);
        var size = Math.Max(eps2, Math.Sqrt(w.Values.Average(value => value * value)));
        var rate = size * Math.Min(lr, 1 / Math.Sqrt(w.Steps));
        var (rows, columns) = (w.RowVariance.Length, w.ColumnVariance.Length);
        double[] variance;
        if (rows == 0)
        {
            for (var i = 0; i < gradient.Length; i++) w.Second[i] += newest * ((gradient[i] * gradient[i]) - w.Second[i]);
            variance = w.Second;
        }
        else
        {
            for (var r = 0; r < rows; r++)
                w.RowVariance[r] += newest * (Enumerable.Range(0, columns).Average(c => Square(gradient[(r * columns) + c])) - w.RowVariance[r]);
            for (var c = 0; c < columns; c++)
                w.ColumnVariance[c] += newest * (Enumerable.Range(0, rows).Average(r => Square(gradient[(r * columns) + c])) - w.ColumnVariance[c]);
            var mean = Math.Max(eps1, w.RowVariance.Average());
            variance = [.. Enumerable.Range(0, gradient.Length).Select(i => w.RowVariance[i / columns] * w.ColumnVariance[i % columns] / mean)];
        }

        var change = gradient.Select((g, i) => g / Math.Sqrt(Math.Max(variance[i], eps1 * eps1))).ToArray();
        var excess = Math.Max(1, Math.Sqrt(change.Average(Square)) / d);
        for (var i = 0; i < gradient.Length; i++) w.Values[i] = (w.Values[i] * (1 - (lr * decay))) - (rate * change[i] / excess);

        static double Square(double value) => value * value;
    }
}
