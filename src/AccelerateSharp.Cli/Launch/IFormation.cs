using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>Forms the job, once for each attempt, and decides what follows an attempt.</summary>
internal interface IFormation : IDisposable
{
    /// <summary>Waits until the job can start; null where it is over before that.</summary>
    Round? Next();

    /// <summary>The exit code of a job that is over after this attempt; null where another attempt follows.</summary>
    int? ExitCodeAfter(Round round, JobEnd end);

    /// <summary>The exit code where <see cref="Next"/> says that it is over.</summary>
    int ExitCode { get; }

    /// <summary>Who has to know what happens during an attempt; null for nobody.</summary>
    IJobNews? News { get; }

    /// <summary>The store for the workers; null where they need none.</summary>
    string? StoreEndpoint { get; }

    /// <summary>What a worker has left in the store, or null.</summary>
    FailureReport? FailureOf(int generation, int rank);
}
