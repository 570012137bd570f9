namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>What the program asked of the accelerator beside the plugin.</summary>
/// <param name="Precision">The constructor's mixed precision; null where it said nothing.</param>
/// <param name="EnvironmentPrecision">That of the environment, which counts where the configuration says nothing.</param>
/// <param name="AccumulationSteps">The constructor's accumulation steps; null where it said nothing.</param>
/// <param name="WorldSize">Number of processes.</param>
internal sealed record DeepSpeedRequest(MixedPrecision? Precision, MixedPrecision? EnvironmentPrecision, int? AccumulationSteps, int WorldSize);
