using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>How the processes of a job share the training.</summary>
internal enum Paradigm
{
    /// <summary>Every process holds the whole model.</summary>
    DataParallel,

    Fsdp,

    DeepSpeed,
}

/// <summary>Finds the paradigm: chosen by an option, by the <c>distributed_type</c> of the file, or by the environment.</summary>
internal static class Paradigms
{
    public const string MultiGpuOption = "--multi_gpu", FsdpOption = "--use_fsdp", DeepSpeedOption = "--use_deepspeed", ParallelismOption = "--use_parallelism_config";

    /// <exception cref="UserErrorException">Several were asked for.</exception>
    public static Setting<Paradigm> Resolve(ParadigmOptions options, SettingReader reader)
    {
        (bool IsTyped, string Option, Paradigm Paradigm)[] all =
            [(options.MultiGpu, MultiGpuOption, Paradigm.DataParallel), (options.UseFsdp, FsdpOption, Paradigm.Fsdp), (options.UseDeepSpeed, DeepSpeedOption, Paradigm.DeepSpeed)];
        var typed = all.Where(choice => choice.IsTyped).ToList();
        if (typed.Count > 1) throw new UserErrorException($"{string.Join(" and ", typed.Select(choice => choice.Option))} exclude each other. Pass one of them.");
        if (typed is [var chosen]) return new(chosen.Paradigm, $"from {chosen.Option}", chosen.Option);
        if (reader.Config is { } config)
        {
            return reader.InFile(ConfigKeys.DistributedType, config.DistributedType switch
            {
                DistributedTypes.Fsdp => Paradigm.Fsdp,
                DistributedTypes.DeepSpeed => Paradigm.DeepSpeed,
                _ => Paradigm.DataParallel,
            });
        }
        var (fsdp, deepSpeed) = (reader.Flag(EnvironmentVariables.UseFsdp), reader.Flag(EnvironmentVariables.UseDeepSpeed));
        if (fsdp is { Value: true } && deepSpeed is { Value: true }) throw new UserErrorException($"{fsdp} and {deepSpeed} exclude each other. Unset one of them.");
        return fsdp is { Value: true } ? new(Paradigm.Fsdp, fsdp.Source, fsdp.Said)
            : deepSpeed is { Value: true } ? new(Paradigm.DeepSpeed, deepSpeed.Source, deepSpeed.Said)
            : new(Paradigm.DataParallel, "the default", "data parallelism") { IsDefault = true };
    }

    public static string NameOf(this Paradigm paradigm) => paradigm switch { Paradigm.Fsdp => "FSDP", Paradigm.DeepSpeed => "DeepSpeed", _ => "data parallelism" };
}
