namespace AccelerateSharp.Configuration;

/// <summary>Turns a configuration for FSDP version 1 into one for version 2.</summary>
/// <param name="Values">The converted file.</param>
/// <param name="Changed">Whether it differs from the one that was read.</param>
/// <param name="Notes">What the user should know, a line each.</param>
internal sealed record Fsdp2Conversion(ConfigSection Values, bool Changed, IReadOnlyList<string> Notes)
{
    private const string Strategy = "fsdp_sharding_strategy", Reshard = "fsdp_reshard_after_forward", Version = "fsdp_version";

    /// <summary>Converts; the values that are passed in stay as they are.</summary>
    public static Fsdp2Conversion Of(ConfigSection values)
    {
        if (values[ConfigKeys.Fsdp] is not ConfigSection { Count: > 0 } old) return new(values, Changed: false, ["There is no fsdp_config: nothing to convert."]);
        if (old.Whole(Version) == 2 || old.Text(Version) == "2") return new(values, Changed: false, ["fsdp_version is 2 already: nothing to convert."]);
        var notes = new List<string>();
        var converted = new ConfigSection();
        foreach (var (key, value) in old)
        {
            switch (key)
            {
                case "fsdp_backward_prefetch" or "fsdp_sync_module_states" or "fsdp_use_orig_params":
                    notes.Add($"{key} is left out: version 2 always works as if it were set.");
                    break;
                case "fsdp_forward_prefetch":
                    notes.Add($"{key} is left out: version 2 has no such setting yet.");
                    break;
                case Strategy:
                    notes.Add($"{Strategy} became {Reshard}.");
                    converted[Reshard] = ReshardOf(value);
                    break;
                // The strategy, which version 1 goes by, comes later in the alphabet and wins.
                case Reshard:
                    converted[Reshard] = ReshardOf(value);
                    break;
                default:
                    converted[key] = value;
                    break;
            }
        }
        converted[Version] = 2;
        var all = new ConfigSection();
        foreach (var (key, value) in values) all[key] = key == ConfigKeys.Fsdp ? converted : value;
        return new(all, Changed: true, notes);
    }

    private static ConfigValue ReshardOf(ConfigValue value)
    {
        var name = value switch
        {
            ConfigText { Value: var text } => text,
            ConfigWhole { Value: >= 1 and <= 5 and var place } => ConfigKeys.ShardingStrategies[place - 1],
            _ => "",
        };
        return name switch
        {
            "FULL_SHARD" or "HYBRID_SHARD" => true,
            "SHARD_GRAD_OP" or "HYBRID_SHARD_ZERO2" or "NO_SHARD" => false,
            _ => value,
        };
    }
}
