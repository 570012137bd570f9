namespace AccelerateSharp.Cli.Launch;

/// <summary>Who has to know what happens to the workers of this machine while they run.</summary>
internal interface IJobNews
{
    /// <summary>A worker failed.</summary>
    void Failed(Failure failure);

    /// <summary>The launcher got a signal.</summary>
    void Interrupted(int signal);

    /// <summary>Whether what was told ends the present attempt.</summary>
    bool EndsAttempt(LaunchEvent.Told told);
}
