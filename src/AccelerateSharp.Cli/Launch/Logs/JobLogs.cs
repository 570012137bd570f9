using System.Globalization;

namespace AccelerateSharp.Cli.Launch.Logs;

/// <summary>The files of one job on this machine: <c>FOLDER/attempt_N/LOCAL_RANK/stdout.log</c> and <c>stderr.log</c>, as torchrun lays them out.</summary>
internal sealed class JobLogs
{
    private readonly TeeStreams _tee;

    private JobLogs(string folder, TeeStreams tee)
    {
        Folder = folder;
        _tee = tee;
    }

    /// <summary>This job's own folder.</summary>
    public string Folder { get; }

    /// <summary>Makes the folder of this job.</summary>
    /// <param name="parent">Where; null for the temporary files.</param>
    /// <param name="runId">The job's name, which the folder's name begins with.</param>
    /// <param name="tee">What goes to files.</param>
    public static JobLogs Create(string? parent, string runId, TeeStreams tee)
    {
        parent = Path.GetFullPath(parent ?? Path.Combine(Path.GetTempPath(), "accelerate-logs-" + Environment.UserName));
        try
        {
            Directory.CreateDirectory(parent);
            // Several launchers may share the folder, and a job may run twice under one name.
            for (; ; )
            {
                var folder = Path.Combine(parent, $"{runId}_{Path.GetRandomFileName()[..8]}");
                if (Directory.Exists(folder)) continue;
                Directory.CreateDirectory(folder);
                return new JobLogs(folder, tee);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"Nothing can be logged in '{parent}' (--log_dir): {e.Message}");
        }
    }

    /// <summary>The files of one worker in one attempt; null for a stream that is not kept.</summary>
    public (FileStream? Output, FileStream? Error) Open(int attempt, int localRank)
    {
        var streams = _tee.Of(localRank);
        if (streams == Streams.None) return (null, null);
        var folder = Path.Combine(Folder, string.Create(CultureInfo.InvariantCulture, $"attempt_{attempt}"), localRank.ToString(CultureInfo.InvariantCulture));
        Directory.CreateDirectory(folder);
        return (Open(Streams.Output, "stdout.log"), Open(Streams.Error, "stderr.log"));

        // Without a buffer: what a worker printed is there when it is killed, and for whoever follows the file meanwhile.
        FileStream? Open(Streams stream, string name) => streams.HasFlag(stream)
            ? new FileStream(Path.Combine(folder, name), FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0)
            : null;
    }
}
