using System.Globalization;
using AccelerateSharp.Cli.Launch.Decisions;
using AccelerateSharp.Configuration;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch.Sections;

/// <summary>How the processes share the training, and all settings of that, as workers are told.</summary>
internal sealed class SectionSettings
{
    private readonly List<(SectionFlag Flag, Setting<string> Value)> _values = [];
    private readonly Dictionary<string, string> _variables = [];
    private readonly List<string> _notes = [];
    private readonly SectionReader _sections;

    private SectionSettings(ParadigmOptions options, SettingReader reader, Setting<string> mixedPrecision)
    {
        _sections = new SectionReader(options.Sections, reader);
        Paradigm = Paradigms.Resolve(options, reader);
        Announce(EnvironmentVariables.UseFsdp, Sections.Paradigm.Fsdp, reader);
        Announce(EnvironmentVariables.UseDeepSpeed, Sections.Paradigm.DeepSpeed, reader);
        if (Paradigm.Value == Sections.Paradigm.Fsdp) Fsdp();
        else Refuse(FsdpFlags.All, $"{Paradigms.FsdpOption}, or distributed_type: FSDP in the configuration file");
        if (Paradigm.Value == Sections.Paradigm.DeepSpeed) DeepSpeed(mixedPrecision, reader);
        else PlainAccumulation();
        if (mixedPrecision.Value == "fp8") Fp8();
        else Refuse(Fp8Flags.All, $"--mixed_precision fp8 (it is {mixedPrecision.Value}, {mixedPrecision.Source})");
        if (options.UseParallelism || (reader.Config?.Parallelism.Count > 0 && Paradigm.Value == Sections.Paradigm.Fsdp)) Parallelism(options);
        else Refuse(ParallelismFlags.All, Paradigms.ParallelismOption);
        // The file's own dynamo_config was named as without effect when it was read.
        foreach (var flag in DynamoFlags.All.Where(_sections.IsTyped)) WithoutEffect(flag, _sections.Find(flag)!);
    }

    public Setting<Paradigm> Paradigm { get; }

    /// <summary>The variables of the workers.</summary>
    public IReadOnlyDictionary<string, string> Variables => _variables;

    /// <summary>What was asked for and does nothing.</summary>
    public IReadOnlyList<string> Notes => _notes;

    /// <summary>Every value that is in force, with its source.</summary>
    public IEnumerable<Decision> Decisions =>
        _values.Select(value => new Decision(value.Flag.Option[2..], value.Value.Value, value.Value.Source)).Prepend(new("paradigm", Paradigm.Value.NameOf(), Paradigm.Source));

    public static SectionSettings Resolve(ParadigmOptions options, SettingReader reader, Setting<string> mixedPrecision) => new(options, reader, mixedPrecision);

    /// <summary>Whether the parallelism that was asked for is that of FSDP over these processes.</summary>
    public void CheckProcesses(int worldSize)
    {
        foreach (var (_, shard) in _values.Where(value => value.Flag == ParallelismFlags.Shard))
        {
            if (int.Parse(shard.Value, CultureInfo.InvariantCulture) is not 1 and var size && size != worldSize)
                throw new UserErrorException($"{shard}: FSDP divides a model among all {worldSize} processes. Leave it out, or pass {worldSize}. {ParallelismFlags.Replicate.Help}");
        }
    }

    /// <summary>What an outer launcher, or the user's shell, said of another paradigm is not for these workers.</summary>
    private void Announce(string variable, Paradigm paradigm, SettingReader reader)
    {
        if (Paradigm.Value == paradigm) _variables[variable] = "true";
        else if (reader.Environment.Text(variable) is not null) _variables[variable] = "false";
    }

    private void Fsdp()
    {
        Take(FsdpFlags.All);
        var version = Of(FsdpFlags.Version);
        if (version is not { Value: "1" or "2" }) throw new UserErrorException($"{version}: there are 1 and 2.");
        var (load, sync) = (Of(FsdpFlags.CpuRamEfficientLoading), Of(FsdpFlags.SyncModuleStates));
        if (version.Value == "2" || sync.Value == "true" || load.Value == "false") return;
        if (!load.IsDefault) throw new UserErrorException($"{load} leaves the weights to rank 0 alone, so it needs {FsdpFlags.SyncModuleStates.Option} true; there is {sync}.");
        Replace(FsdpFlags.CpuRamEfficientLoading, new("false", $"the default with {sync}", $"{load.Said} false") { IsDefault = true });
    }

    private void DeepSpeed(Setting<string> mixedPrecision, SettingReader reader)
    {
        Take(DeepSpeedFlags.All);
        var stage = _values.Find(value => value.Flag.Key == "zero_stage").Value;
        if (stage is not null and not { Value: "0" or "1" or "2" or "3" }) throw new UserErrorException($"{stage}: there are 0, 1, 2 and 3.");
        CheckAccumulation();
        // What the file of `accelerate config` says may not be said by DeepSpeed's own file as well: the library is told what to look for.
        var fields = reader.Config is null ? [] : DeepSpeedFlags.All.Where(flag => !_sections.IsTyped(flag) && _sections.InFile(flag) is not null).Select(flag => flag.Type.Name).ToList();
        if (reader.Config?.MixedPrecision is not null && mixedPrecision.Source == reader.InFile(ConfigKeys.MixedPrecision, "").Source) fields.Add(ConfigKeys.MixedPrecision);
        if (fields.Count > 0) _variables[EnvironmentVariables.DeepSpeedFields] = string.Join(',', fields);
    }

    /// <summary>Accumulation is not DeepSpeed's alone.</summary>
    private void PlainAccumulation()
    {
        if (_sections.IsTyped(DeepSpeedFlags.GradientAccumulationSteps)) Take([DeepSpeedFlags.GradientAccumulationSteps]);
        CheckAccumulation();
        Refuse(DeepSpeedFlags.All.Where(flag => flag != DeepSpeedFlags.GradientAccumulationSteps), $"{Paradigms.DeepSpeedOption}, or distributed_type: DEEPSPEED in the configuration file");
    }

    private void CheckAccumulation()
    {
        if (_values.Find(value => value.Flag == DeepSpeedFlags.GradientAccumulationSteps).Value is { } steps && int.TryParse(steps.Value, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) && number < 1)
            throw new UserErrorException($"{steps}: a step has at least one micro-batch.");
    }

    private void Fp8()
    {
        Take(Fp8Flags.All);
        // Readers of the reference know the names in capitals only.
        if (_variables.TryGetValue(Fp8Flags.Backend.Variable!, out var backend)) _variables[Fp8Flags.Backend.Variable!] = backend.ToUpperInvariant();
        if (_sections.Find(Fp8Flags.OverrideLinearPrecision) is not { } overrides) return;
        var switches = overrides.Value.Trim('(', ')', '[', ']').Split(',', StringSplitOptions.TrimEntries);
        if (switches.Length != Fp8Flags.OverrideVariables.Count || switches.Any(text => !bool.TryParse(text, out _)))
            throw new UserErrorException($"{overrides}: pass three of true and false, for forward, input gradient and weight gradient, such as false,false,true.");
        foreach (var (variable, text) in Fp8Flags.OverrideVariables.Zip(switches)) _variables[variable] = text.ToLowerInvariant();
    }

    private void Parallelism(ParadigmOptions options)
    {
        var version = Paradigm.Value == Sections.Paradigm.Fsdp ? Of(FsdpFlags.Version) : null;
        if (version is not { Value: "2" })
        {
            throw new UserErrorException($"{(options.UseParallelism ? Paradigms.ParallelismOption : ConfigKeys.Parallelism)} needs {Paradigms.FsdpOption} with {FsdpFlags.Version.Option} 2; "
                + (version is null ? $"the paradigm is {Paradigm.Value.NameOf()} ({Paradigm.Source})." : $"there is {version}."));
        }
        Take(ParallelismFlags.All);
        foreach (var (flag, size) in _values.Where(value => value.Flag.HelpName == "N" && value.Flag.Section == ConfigKeys.Parallelism))
        {
            if (!int.TryParse(size.Value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) || number < 1) throw new UserErrorException($"{size}: a size is at least 1.");
            if (number > 1 && flag != ParallelismFlags.Shard) throw new UserErrorException($"{size} is not there in AccelerateSharp. {flag.Help}");
        }
        _variables[EnvironmentVariables.UseParallelismConfig] = "true";
    }

    private void Take(IEnumerable<SectionFlag> flags)
    {
        foreach (var flag in flags)
        {
            if (_sections.Find(flag) is not { } value) continue;
            if (flag.WithoutEffect is not null) WithoutEffect(flag, value);
            else _values.Add((flag, value));
            if (flag.Variable is not null && flag.WithoutEffect is null) _variables[flag.Variable] = value.Value;
        }
    }

    private void Replace(SectionFlag flag, Setting<string> value)
    {
        _values[_values.FindIndex(other => other.Flag == flag)] = (flag, value);
        _variables[flag.Variable!] = value.Value;
    }

    private Setting<string> Of(SectionFlag flag) => _values.Find(value => value.Flag == flag).Value;

    private void WithoutEffect(SectionFlag flag, Setting<string> value) => _notes.Add($"{value} has no effect: {flag.WithoutEffect}.");

    private void Refuse(IEnumerable<SectionFlag> flags, string needs)
    {
        var typed = flags.Where(_sections.IsTyped).Select(flag => flag.Option).ToList();
        if (typed.Count > 0) throw new UserErrorException($"{string.Join(", ", typed)} {(typed.Count == 1 ? "needs" : "need")} {needs}.");
    }
}
