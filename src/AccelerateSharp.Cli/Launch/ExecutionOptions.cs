namespace AccelerateSharp.Cli.Launch;

/// <summary>What the user asked about how workers are run, restarted and logged; null where nothing was said.</summary>
internal sealed record ExecutionOptions
{
    public int? MaxRestarts { get; init; }

    public double? MonitorInterval { get; init; }

    /// <summary>The number of machines, as <c>N</c> or <c>MIN:MAX</c>.</summary>
    public string? Machines { get; init; }

    public string? RendezvousBackend { get; init; }

    /// <summary>Settings of the rendezvous, as <c>key=value,key=value</c>.</summary>
    public string? RendezvousConf { get; init; }

    /// <summary>The name of the job.</summary>
    public string? RunId { get; init; }

    public bool SameNetwork { get; init; }

    public string? LogFolder { get; init; }

    /// <summary>Which streams go to files as well, as <c>3</c> or <c>0:3,1:1</c> by local rank.</summary>
    public string? Tee { get; init; }

    public string? Role { get; init; }

    public bool CpuAffinity { get; init; }

    public string? MpiHostFile { get; init; }

    public int? MpiCcl { get; init; }
}
