using System.CommandLine;
using AccelerateSharp.Cli.Help;
using AccelerateSharp.Cli.Launch.Sections;

namespace AccelerateSharp.Cli.Commands;

/// <summary>The options of <c>accelerate launch</c> about how the processes share the training: the paradigm, and the settings of each.</summary>
internal sealed class ParadigmOptionGroup
{
    private readonly Option<bool> _multiGpu = OptionNames.Create<bool>(Paradigms.MultiGpuOption, "Every process holds the whole model, on a GPU of its own.");
    private readonly Option<bool> _fsdp = OptionNames.Create<bool>(Paradigms.FsdpOption, "Fully sharded data parallelism.");
    private readonly Option<bool> _deepSpeed = OptionNames.Create<bool>(Paradigms.DeepSpeedOption, "DeepSpeed's ZeRO, in its vocabulary.");
    private readonly Option<bool> _parallelism = OptionNames.Create<bool>(Paradigms.ParallelismOption, "FSDP 2 by the sizes of a device mesh.");
    private readonly Option<bool> _megatron = OptionNames.Create<bool>("--use_megatron_lm", "Refused: there is no Megatron-LM here.");
    private readonly Option<bool> _tpu = OptionNames.Create<bool>("--tpu", "Refused: TPUs are not supported.");
    private readonly Dictionary<SectionFlag, Option> _sections = SectionFlags.All.ToDictionary(flag => flag, Create);

    public void AddTo(Command command)
    {
        (_megatron.Hidden, _tpu.Hidden) = (true, true);
        command.Group("Paradigm", _multiGpu, _fsdp, _deepSpeed, _parallelism, _megatron, _tpu);
        command.Group("FSDP", Of(FsdpFlags.All), _fsdp);
        command.Group("DeepSpeed", Of(DeepSpeedFlags.All), _deepSpeed);
        command.Group("FP8 (--mixed_precision fp8)", Of(Fp8Flags.All), _sections[Fp8Flags.Backend]);
        command.Group("Parallelism configuration", Of(ParallelismFlags.All), _parallelism);
        command.Group("torch.compile (accepted, without effect)", Of(DynamoFlags.All), owner: null);
    }

    public ParadigmOptions Read(ParseResult parsed)
    {
        if (parsed.GetValue(_megatron)) throw new UserErrorException($"--use_megatron_lm: AccelerateSharp has no Megatron-LM. {Paradigms.FsdpOption} divides a model that is too large for one GPU.");
        if (parsed.GetValue(_tpu)) throw new UserErrorException("--tpu: AccelerateSharp runs on NVIDIA GPUs and on CPUs. Leave it out.");
        return new ParadigmOptions
        {
            MultiGpu = parsed.GetValue(_multiGpu),
            UseFsdp = parsed.GetValue(_fsdp),
            UseDeepSpeed = parsed.GetValue(_deepSpeed),
            UseParallelism = parsed.GetValue(_parallelism),
            Sections = _sections.Select(pair => (pair.Key.Option, Text: TextOf(parsed, pair.Value))).Where(pair => pair.Text is not null).ToDictionary(pair => pair.Option, pair => pair.Text!),
        };
    }

    private ReadOnlySpan<Option> Of(IEnumerable<SectionFlag> flags) => flags.Select(flag => _sections[flag]).ToArray();

    private static Option Create(SectionFlag flag)
    {
        if (flag.IsSwitch) return OptionNames.Create<bool>(flag.Option, flag.Help);
        var option = OptionNames.Create<string?>(flag.Option, flag.Default is null ? flag.Help : $"{flag.Help} Default: {flag.Default}.");
        option.HelpName = flag.HelpName;
        return option;
    }

    private static string? TextOf(ParseResult parsed, Option option) =>
        parsed.GetResult(option) is not { Implicit: false } ? null
        : option is Option<bool> on ? parsed.GetValue(on) ? "true" : "false"
        : parsed.GetValue((Option<string?>)option);
}
