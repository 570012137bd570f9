namespace AccelerateSharp.Parallel.DeepSpeed;

/// <summary>DeepSpeed's schedules: a warm-up, then constant, linear or cosine. A function of the number of steps so far.</summary>
internal sealed class WarmupSchedule
{
    private const string Params = "scheduler.params.";
    private const string Constant = "WarmupLR";
    private const string Linear = "WarmupDecayLR";
    private const string Cosine = "WarmupCosineLR";

    private readonly string _type;
    private readonly double _minimum;
    private readonly double _maximum;
    private readonly double _minimumRatio;
    private readonly double _cosineRatio;
    private readonly long _warmup;
    private readonly long _total;
    private readonly bool _linearWarmup;
    private readonly double[] _rates;

    private WarmupSchedule(DsConfig config, string type, double[] rates)
    {
        _type = type;
        _rates = rates;
        _minimum = config.Number(Params + "warmup_min_lr") ?? 0;
        // DeepSpeed's two classes differ in what they take where nothing is said.
        _maximum = config.Number(Params + "warmup_max_lr") ?? (type == Constant ? rates[0] : 0.001);
        _minimumRatio = config.Number(Params + "warmup_min_ratio") ?? 0;
        _cosineRatio = config.Number(Params + "cos_min_ratio") ?? 0.0001;
        _warmup = Math.Max(2, config.Whole(Params + "warmup_num_steps") ?? 1000);
        _total = config.Whole(Params + "total_num_steps") ?? 0;
        _linearWarmup = config.Text(Params + "warmup_type") == "linear";
    }

    /// <summary>What is wrong with the section; null where nothing is.</summary>
    public static string? Problem(DsConfig config)
    {
        string[] known = config.Text("scheduler.type") switch
        {
            Constant => ["warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "warmup_type", "last_batch_iteration"],
            Linear => ["total_num_steps", "warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "warmup_type", "last_batch_iteration"],
            Cosine => ["total_num_steps", "warmup_min_ratio", "warmup_num_steps", "cos_min_ratio", "warmup_type", "last_batch_iteration"],
            _ => [],
        };
        if (known.Length == 0)
            return $"scheduler.type {config.Text("scheduler.type") ?? "(none)"} is not available: use {Constant}, {Linear} or {Cosine}, or leave the section out and give a scheduler of the program's own to Prepare.";
        var unknown = config.In("scheduler").Where(path => path.StartsWith(Params, StringComparison.Ordinal)).Select(path => path[Params.Length..]).FirstOrDefault(name => !known.Contains(name));
        if (unknown is not null) return $"scheduler.params: {config.Text("scheduler.type")} has no '{unknown}'.{Configuration.Spelling.Hint(unknown, known)}";
        if (config.Text("scheduler.type") != Constant && !config.Has(Params + "total_num_steps")) return "scheduler.params.total_num_steps is missing: say how many steps there are, or \"auto\" to take DummyScheduler's.";
        if (config.Text(Params + "warmup_type") is { } type && type is not ("log" or "linear")) return $"scheduler.params.warmup_type is '{type}'; it must be log or linear.";
        return config.Whole(Params + "last_batch_iteration") is not (null or -1) ? "scheduler.params.last_batch_iteration: a schedule starts at its beginning here; leave it out." : null;
    }

    /// <summary>Fills what is "auto", and makes the schedule.</summary>
    /// <param name="config">The configuration.</param>
    /// <param name="rates">The learning rates of the optimizer's groups.</param>
    /// <param name="total">Global steps in all; null where the program does not say.</param>
    /// <param name="warmup">Steps of warm-up; null where the program does not say.</param>
    /// <exception cref="ArgumentException">What the program would have to say is missing, or differs from the configuration.</exception>
    public static WarmupSchedule Create(DsConfig config, double[] rates, long? total, long? warmup)
    {
        var problems = new List<string>();
        config.Fill(Params + "warmup_min_lr", 0.0);
        config.Fill(Params + "warmup_max_lr", rates[0]);
        config.Fill(Params + "warmup_num_steps", warmup ?? 0);
        if (total is { } steps) config.Fill(Params + "total_num_steps", steps);
        if (config.IsAuto(Params + "total_num_steps")) problems.Add($"{Params}total_num_steps is \"auto\", but DummyScheduler has no totalNumSteps.");
        Compare("total_num_steps", total, "totalNumSteps (of all processes together)");
        Compare("warmup_num_steps", warmup, "warmupNumSteps");
        DsConfig.Throw(problems, config.Source);
        return new WarmupSchedule(config, config.Text("scheduler.type")!, rates);

        void Compare(string name, long? said, string argument)
        {
            if (said is { } value && config.Whole(Params + name) is { } written && written != value) problems.Add($"{Params}{name} is {written}, but DummyScheduler's {argument} comes to {value}.");
        }
    }

    /// <summary>The learning rate of each group after a number of steps; -1 before the first.</summary>
    public double[] At(long step) => Array.ConvertAll(_rates, rate => _type == Cosine ? rate * Ratio(step) : step < 0 ? _minimum : _minimum + ((_maximum - _minimum) * Gamma(step)));

    private double Warmup(long step) => _linearWarmup ? (double)step / _warmup : Math.Log(step + 1) / Math.Log(_warmup);

    private double Gamma(long step)
    {
        if (step < _warmup) return Warmup(step);
        return _type == Constant ? 1 : Math.Max(0, (_total - step) / Math.Max(1.0, _total - _warmup));
    }

    private double Ratio(long step)
    {
        if (step < 0) return 0;
        if (step < _warmup) return _minimumRatio + (Warmup(step) * (1 - _minimumRatio));
        var progress = Math.Min(1, (step - _warmup + 1) / (double)Math.Max(1, _total - _warmup));
        return Math.Max(0, _cosineRatio + ((1 - _cosineRatio) * (1 + Math.Cos(Math.PI * progress)) / 2));
    }
}
