using System.Text.Json;
using System.Text.Json.Serialization;
using AccelerateSharp.Models.Lora;

namespace AccelerateSharp;

/// <summary>A low-rank adapter as the Hub's PEFT format describes it in <c>adapter_config.json</c>.</summary>
/// <example><code>
/// var config = new LoraConfig { R = 16, LoraAlpha = 32, TargetModules = ["q_proj", "v_proj"] };
/// </code></example>
public sealed record LoraConfig
{
    /// <summary>The name that stands for every linear layer but the output head.</summary>
    public const string AllLinear = "all-linear";

    /// <summary>Always <c>LORA</c>.</summary>
    public string PeftType { get; set; } = "LORA";

    /// <summary>What the adapted model is for, such as <c>CAUSAL_LM</c>.</summary>
    public string? TaskType { get; set; }

    /// <summary>Where the weights that are adapted come from.</summary>
    public string? BaseModelNameOrPath { get; set; }

    /// <summary>The rank of the update; 8 by default.</summary>
    public int R { get; set; } = 8;

    /// <summary>The update is multiplied by this over the rank, or with <see cref="UseRslora"/> over its root; 8 by default.</summary>
    public double LoraAlpha { get; set; } = 8;

    /// <summary>Probability with which an input of the update is dropped in training; 0 by default.</summary>
    public double LoraDropout { get; set; }

    /// <summary>
    /// Which layers: last parts of their names, such as <c>q_proj</c>. One entry may be <see cref="AllLinear"/>, or a regular expression
    /// over whole names where the file holds a string in place of a list.
    /// </summary>
    [JsonConverter(typeof(TargetModulesConverter))]
    public IReadOnlyList<string>? TargetModules { get; set; }

    /// <summary>Whether biases are trained; only <c>none</c>.</summary>
    public string Bias { get; set; } = "none";

    /// <summary>Whether the scale is alpha over the root of the rank (rank-stabilised LoRA).</summary>
    public bool UseRslora { get; set; }

    /// <summary>Whether the adapted weights are stored [inputs, outputs], as GPT-2's; found out by itself.</summary>
    public bool FanInFanOut { get; set; }

    /// <summary>Whether the adapter is loaded to compute only.</summary>
    public bool InferenceMode { get; set; }

    /// <summary>Settings without a property of their own; kept when saving.</summary>
    [JsonExtensionData]
    public IDictionary<string, JsonElement>? Other { get; set; }

    internal double Scale => UseRslora ? LoraAlpha / Math.Sqrt(R) : LoraAlpha / R;

    /// <exception cref="ArgumentException">A setting is out of range or not supported; the message names it.</exception>
    internal void Check()
    {
        Require(PeftType == "LORA", $"peft_type is '{PeftType}'; only LORA is supported");
        Require(R > 0, $"r is {R}; it must be above 0");
        Require(LoraDropout is >= 0 and < 1, $"lora_dropout is {LoraDropout}; it must be in [0, 1)");
        Require(Bias == "none", $"bias is '{Bias}'; only 'none' is supported");
        Require(TargetModules is { Count: > 0 }, "target_modules is empty; name the layers, for instance q_proj and v_proj");
        foreach (var name in (string[])["use_dora", "modules_to_save", "rank_pattern", "alpha_pattern", "layers_to_transform", "lora_bias"])
            Require(!IsSet(name), $"{name} is set, which is not supported");

        static void Require(bool holds, string otherwise)
        {
            if (!holds) throw new ArgumentException($"LoRA configuration: {otherwise}.");
        }
    }

    private bool IsSet(string name) => Other is not null && Other.TryGetValue(name, out var value) && value.ValueKind switch
    {
        JsonValueKind.Null or JsonValueKind.False or JsonValueKind.Undefined => false,
        JsonValueKind.Object => value.EnumerateObject().Any(),
        JsonValueKind.Array => value.GetArrayLength() > 0,
        _ => true,
    };
}
