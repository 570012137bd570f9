using System.Collections;
using System.Text.RegularExpressions;

namespace AccelerateSharp.Cli.Diagnostics;

/// <summary>The environment variables that change what this project or its engines do.</summary>
internal static partial class VariableProbe
{
    internal const string Hidden = "(set, not shown)";

    private static readonly string[] _prefixes =
    [
        "ACCELERATE_", "TORCHELASTIC_", "TORCH_", "PYTORCH_", "NCCL_", "GLOO_", "CUDA_", "NVIDIA_", "OMP_", "MKL_", "KMP_", "FSDP_", "DEEPSPEED_",
        "PARALLELISM_CONFIG_", "FP8_", "HF_", "SLURM_", "OMPI_", "PMI_", "DOTNET_", "LOCAL_", "MASTER_", "GROUP_",
    ];

    private static readonly string[] _names =
        ["RANK", "WORLD_SIZE", "NODE_RANK", "NNODES", "XDG_CACHE_HOME", "NUGET_PACKAGES", "LD_LIBRARY_PATH", "LD_PRELOAD", "KUBERNETES_SERVICE_HOST"];

    private static readonly string[] _secretWords = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL", "KEY", "AUTH"];

    public static SortedDictionary<string, string> Collect() => Select(Environment.GetEnvironmentVariables());

    internal static SortedDictionary<string, string> Select(IDictionary variables)
    {
        var selected = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (DictionaryEntry variable in variables)
        {
            var name = (string)variable.Key;
            if (_names.Contains(name) || _prefixes.Any(prefix => name.StartsWith(prefix, StringComparison.Ordinal)))
                selected[name] = Shown(name, (string?)variable.Value ?? "");
        }
        return selected;
    }

    private static string Shown(string name, string value) =>
        value.Length > 0 && _secretWords.Any(word => name.Contains(word, StringComparison.OrdinalIgnoreCase)) ? Hidden : UserInfo().Replace(value, "://***@");

    /// <summary>Name and password inside of an address.</summary>
    [GeneratedRegex(@"://[^/\s@]+@")]
    private static partial Regex UserInfo();
}
