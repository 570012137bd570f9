using TorchSharp.Modules;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Precision;

/// <summary>A linear layer with code of the test's own around it.</summary>
internal sealed class Wrapped : nn.Module<Tensor, Tensor>
{
    private readonly Func<Wrapped, Tensor, Tensor> _forward;

    public Wrapped(Func<Wrapped, Tensor, Tensor> forward)
        : base(nameof(Wrapped))
    {
        _forward = forward;
        Layer = nn.Linear(4, 4, hasBias: false);
        RegisterComponents();
    }

    public Linear Layer { get; }

    public override Tensor forward(Tensor input) => _forward(this, input);
}

/// <summary>Answers with whatever a function makes of the hidden state.</summary>
internal sealed class Answering<T> : nn.Module<Tensor, T>
{
    private readonly Func<Tensor, T> _answer;
    private readonly Linear _layer;

    public Answering(Func<Tensor, T> answer)
        : base("Answering")
    {
        _answer = answer;
        _layer = nn.Linear(4, 4);
        RegisterComponents();
    }

    public Parameter Weight => _layer.weight!;

    public override T forward(Tensor input) => _answer(_layer.call(input));
}

/// <summary>Two inputs, one of them not a tensor: hooks have another signature.</summary>
internal sealed class Scaled : nn.Module<Tensor, double, (Tensor Scaled, Tensor Input)>
{
    private readonly Linear _layer;

    public Scaled()
        : base(nameof(Scaled))
    {
        _layer = nn.Linear(4, 4);
        RegisterComponents();
    }

    public override (Tensor Scaled, Tensor Input) forward(Tensor input, double scale) => (_layer.call(input) * scale, input);
}

internal sealed record Answer(Tensor Logits, string Text);

internal sealed class Output
{
    public Tensor? Logits { get; init; }

    public IReadOnlyList<Tensor> Hidden { get; init; } = [];
}
