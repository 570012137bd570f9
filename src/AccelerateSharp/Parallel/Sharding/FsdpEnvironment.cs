using System.Globalization;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Parallel.Sharding;

/// <summary>The <c>FSDP_*</c> variables, as <c>accelerate launch</c> exports them from its configuration.</summary>
internal sealed class FsdpEnvironment(EnvironmentReader environment)
{
    private const string Prefix = "FSDP_";

    public int? Version => (int?)Whole("VERSION");

    public ShardingStrategy? Strategy => Named<ShardingStrategy>("SHARDING_STRATEGY");

    public BackwardPrefetch? BackwardPrefetch => Named<BackwardPrefetch>("BACKWARD_PREFETCH");

    public AutoWrapPolicy? WrapPolicy => Named<AutoWrapPolicy>("AUTO_WRAP_POLICY");

    public StateDictType? StateDictType => Named<StateDictType>("STATE_DICT_TYPE");

    public long? MinNumParams => Whole("MIN_NUM_PARAMS");

    public IReadOnlyList<string>? Classes =>
        Text("TRANSFORMER_CLS_TO_WRAP") is { } text ? text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) : null;

    public string? Text(string name) => environment.Text(Prefix + name);

    public bool? Flag(string name) => Text(name) is { } text ? EnvironmentReader.ParseFlag(Prefix + name, text) : null;

    /// <summary>Version 2 only: a switch, or a number of ranks.</summary>
    public bool? ReshardAfterForward(int version) => version == 2 && ReshardGroupSize(version) is null ? Flag("RESHARD_AFTER_FORWARD") : null;

    public int? ReshardGroupSize(int version) =>
        version == 2 && int.TryParse(Text("RESHARD_AFTER_FORWARD"), NumberStyles.None, CultureInfo.InvariantCulture, out var ranks) && ranks > 1 ? ranks : null;

    private long? Whole(string name)
    {
        if (Text(name) is not { } text) return null;
        // The reference's tools write some of these as floating-point numbers.
        if (double.TryParse(text, CultureInfo.InvariantCulture, out var value) && value == Math.Floor(value)) return (long)value;
        throw new ArgumentException($"{Prefix}{name}={text} is not a whole number. Correct or unset it.");
    }

    /// <summary>FULL_SHARD for FullShard, or its number.</summary>
    private TEnum? Named<TEnum>(string name)
        where TEnum : struct, Enum
    {
        if (Text(name) is not { } text) return null;
        var word = text.Replace("_", "", StringComparison.Ordinal);
        if (Enum.TryParse<TEnum>(word, ignoreCase: true, out var value) && Enum.IsDefined(value)) return value;
        var choices = Enum.GetNames<TEnum>().Select(choice => string.Concat(choice.Select((letter, i) => i > 0 && char.IsUpper(letter) ? $"_{letter}" : $"{char.ToUpperInvariant(letter)}")));
        throw new ArgumentException($"{Prefix}{name}={text} is none of {string.Join(", ", choices)}. Correct or unset it.");
    }
}
