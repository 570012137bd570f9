using TorchSharp.Modules;

namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>The <c>optimizer</c> section.</summary>
internal static class ConfiguredOptimizer
{
    private const string Section = "optimizer";
    private const string Params = "optimizer.params.";

    private static readonly string[] _adam = ["lr", "betas", "eps", "weight_decay", "bias_correction", "amsgrad", "adam_w_mode", "torch_adam", "set_grad_none", "fp32_optimizer_states", "adamw_mode"];

    /// <summary>What is wrong with the section; null where nothing is.</summary>
    public static string? Problem(DsConfig config)
    {
        if (config.Text("optimizer.type") is not { } type) return "optimizer.type does not say which: Adam, AdamW, Lion or SGD.";
        string[]? known = Kind(type) switch
        {
            "adam" => _adam,
            "lion" => ["lr", "betas", "weight_decay", "set_grad_none"],
            "sgd" => ["lr", "momentum", "dampening", "weight_decay", "nesterov"],
            _ => null,
        };
        if (known is null)
        {
            return type.StartsWith("OneBit", StringComparison.OrdinalIgnoreCase) || type.StartsWith("ZeroOne", StringComparison.OrdinalIgnoreCase)
                ? $"optimizer.type {type} compresses its communication to one bit, which is not available: use AdamW."
                : $"optimizer.type {type} is not available: use Adam, AdamW, Lion or SGD, or leave the section out and give an optimizer of the program's own to Prepare.";
        }

        var unknown = config.In(Section).Where(path => path.StartsWith(Params, StringComparison.Ordinal)).Select(path => path[Params.Length..]).FirstOrDefault(name => !known.Contains(name));
        if (unknown is not null) return $"optimizer.params: {type} has no '{unknown}'.{Configuration.Spelling.Hint(unknown, known)}";
        if (config.Switch(Params + "bias_correction") == false) return "optimizer.params.bias_correction: Adam always corrects its bias here; leave it out.";
        return config.Has(Params + "betas") && !config.IsAuto(Params + "betas") && config.Numbers(Params + "betas") is not { Count: 2 } ? "optimizer.params.betas must be two numbers." : null;
    }

    /// <summary>Fills what is "auto" from the dummy, and makes the optimizer.</summary>
    /// <exception cref="ArgumentException">The program and the configuration say different things, all of them in one message.</exception>
    public static FusedOptimizer Create(DsConfig config, DummyOptim dummy)
    {
        var problems = new List<string>();
        config.Fill(Params + "lr", dummy.LearningRate ?? DummyOptim.DefaultLearningRate);
        config.Fill(Params + "weight_decay", dummy.WeightDecay ?? 0);
        if (dummy.Betas is { } betas) config.Fill(Params + "betas", new System.Text.Json.Nodes.JsonArray(betas.Item1, betas.Item2));
        if (dummy.Epsilon is { } epsilon) config.Fill(Params + "eps", epsilon);
        Compare("lr", dummy.LearningRate, config.Number(Params + "lr"));
        Compare("weight_decay", dummy.WeightDecay, config.Number(Params + "weight_decay"));
        Compare("eps", dummy.Epsilon, config.Number(Params + "eps"));
        if (dummy.Betas is { } said && config.Numbers(Params + "betas") is { } written && (written[0] != said.Item1 || written[1] != said.Item2))
            problems.Add($"optimizer.params.betas are [{written[0]}, {written[1]}], but DummyOptim's are [{said.Item1}, {said.Item2}].");
        DsConfig.Throw(problems, config.Source);

        var kind = Kind(config.Text("optimizer.type")!);
        var rate = config.Number(Params + "lr") ?? dummy.LearningRate ?? DummyOptim.DefaultLearningRate;
        var decay = config.Number(Params + "weight_decay") ?? dummy.WeightDecay ?? 0;
        var (beta1, beta2) = config.Numbers(Params + "betas") is { } pair ? (pair[0], pair[1]) : dummy.Betas ?? (0.9, kind == "lion" ? 0.99 : 0.999);
        var eps = config.Number(Params + "eps") ?? dummy.Epsilon ?? 1e-8;
        var amsgrad = config.Switch(Params + "amsgrad") ?? false;
        // DeepSpeed's Adam decays weights as AdamW does unless it is told not to.
        var decoupled = Is("adamw") || (config.Switch(Params + "adam_w_mode") ?? config.Switch(Params + "adamw_mode") ?? true);
        return kind switch
        {
            "adam" when decoupled => new FusedAdamW(
                dummy.Groups.Select(group => new AdamW.ParamGroup(group.Parameters, new AdamW.Options { LearningRate = group.LearningRate, weight_decay = group.WeightDecay })), rate, beta1, beta2, eps, decay, amsgrad),
            "adam" => new FusedAdam(
                dummy.Groups.Select(group => new Adam.ParamGroup(group.Parameters, new Adam.Options { LearningRate = group.LearningRate, weight_decay = group.WeightDecay })), rate, beta1, beta2, eps, decay, amsgrad),
            "lion" => new Lion(
                dummy.Groups.Select(group => new Lion.ParamGroup(group.Parameters, new Lion.Options { LearningRate = group.LearningRate, WeightDecay = group.WeightDecay })), rate, beta1, beta2, decay),
            _ => new FusedSGD(
                dummy.Groups.Select(group => new SGD.ParamGroup(group.Parameters, new SGD.Options { LearningRate = group.LearningRate, weight_decay = group.WeightDecay })),
                rate, config.Number(Params + "momentum") ?? 0, config.Number(Params + "dampening") ?? 0, decay, config.Switch(Params + "nesterov") ?? false),
        };

        bool Is(string type) => string.Equals(config.Text("optimizer.type"), type, StringComparison.OrdinalIgnoreCase);

        void Compare(string name, double? said, double? written)
        {
            if (said is { } value && written is { } other && value != other) problems.Add(string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{Params}{name} is {other}, but DummyOptim's {name} is {value}."));
        }
    }

    private static string? Kind(string type) => type.ToLowerInvariant() switch
    {
        "adam" or "adamw" or "fusedadam" or "deepspeedcpuadam" or "cpuadam" => "adam",
        "lion" or "fusedlion" or "deepspeedcpulion" => "lion",
        "sgd" => "sgd",
        _ => null,
    };
}
