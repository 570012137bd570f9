using System.Globalization;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>The <c>ACCELERATE_DEEPSPEED_*</c> variables, as <c>accelerate launch</c> exports them from its configuration.</summary>
internal sealed class DeepSpeedEnvironment(EnvironmentReader environment)
{
    private const string Prefix = "ACCELERATE_DEEPSPEED_";

    public string? ConfigFile => environment.Text(Prefix + "CONFIG_FILE");

    public int? ZeroStage => environment.FirstNumber(Prefix + "ZERO_STAGE")?.Value;

    public DeepSpeedOffloadDevice? OptimizerDevice => Device("OFFLOAD_OPTIMIZER_DEVICE");

    public DeepSpeedOffloadDevice? ParamDevice => Device("OFFLOAD_PARAM_DEVICE");

    public string? OptimizerNvmePath => Path("OFFLOAD_OPTIMIZER_NVME_PATH");

    public string? ParamNvmePath => Path("OFFLOAD_PARAM_NVME_PATH");

    public bool? Zero3Init => Flag("ZERO3_INIT");

    public bool? Zero3Save16Bit => Flag("ZERO3_SAVE_16BIT_MODEL");

    public IReadOnlyList<string>? MoeClasses =>
        environment.Text(Prefix + "MOE_LAYER_CLS_NAMES") is { } text ? text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) : null;

    public int? AccumulationSteps => environment.FirstNumber(EnvironmentVariables.GradientAccumulationSteps)?.Value;

    public double? GradientClipping => environment.Text("ACCELERATE_GRADIENT_CLIPPING") switch
    {
        null or DsConfig.Auto => null,
        { } text when double.TryParse(text, CultureInfo.InvariantCulture, out var value) => value,
        { } text => throw new ArgumentException($"ACCELERATE_GRADIENT_CLIPPING={text} is not a number. Correct or unset it."),
    };

    /// <summary>Keys that the launcher's own configuration carried beside a DeepSpeed file.</summary>
    public IReadOnlyList<string> ConfiguredFields =>
        environment.Text(EnvironmentVariables.DeepSpeedFields)?.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) ?? [];

    private bool? Flag(string name) => environment.Text(Prefix + name) is { } text ? EnvironmentReader.ParseFlag(Prefix + name, text) : null;

    /// <summary>The reference writes the Python of "nothing" here as well.</summary>
    private string? Path(string name) => environment.Text(Prefix + name) is { } text && !text.Equals("none", StringComparison.OrdinalIgnoreCase) ? text : null;

    private DeepSpeedOffloadDevice? Device(string name)
    {
        if (environment.Text(Prefix + name) is not { } text) return null;
        return DeviceOf(text) ?? throw new ArgumentException($"{Prefix}{name}={text} is none of none, cpu and nvme. Correct or unset it.");
    }

    /// <summary>The device of that name; null where there is none.</summary>
    public static DeepSpeedOffloadDevice? DeviceOf(string name) => name.ToLowerInvariant() switch
    {
        "none" => DeepSpeedOffloadDevice.None,
        "cpu" => DeepSpeedOffloadDevice.Cpu,
        "nvme" => DeepSpeedOffloadDevice.Nvme,
        _ => null,
    };
}
