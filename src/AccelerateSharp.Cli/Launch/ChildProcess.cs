using System.IO.Pipes;
using System.Runtime.InteropServices;
using System.Text;
using AccelerateSharp.Cli.Launch.Affinity;

namespace AccelerateSharp.Cli.Launch;

/// <summary>A process that is started into a process group of our choice.</summary>
internal sealed unsafe class ChildProcess
{
    private ChildProcess(int id, Stream? output, Stream? error)
    {
        Id = id;
        Output = output;
        Error = error;
    }

    public int Id { get; }

    /// <summary>What it prints; null where it prints straight to our own standard output.</summary>
    public Stream? Output { get; }

    /// <summary>What it prints to standard error; null as for <see cref="Output"/>.</summary>
    public Stream? Error { get; }

    /// <summary>Starts a program.</summary>
    /// <param name="program">Path of the executable.</param>
    /// <param name="arguments">Its arguments, without its name.</param>
    /// <param name="environment">All of its variables.</param>
    /// <param name="group">The process group to join; 0 for a new one, null for our own.</param>
    /// <param name="input">What it reads: a pipe's end, <c>/dev/null</c> where that is null.</param>
    /// <param name="inheritsInput">Whether it reads our own standard input instead.</param>
    /// <param name="capture">Whether its output comes to us.</param>
    /// <param name="cpus">The CPUs that it may run on; null for ours.</param>
    public static ChildProcess Start(
        string program, IReadOnlyList<string> arguments, IEnumerable<KeyValuePair<string, string>> environment, int? group,
        SafeHandle? input = null, bool inheritsInput = false, bool capture = true, CpuSet? cpus = null)
    {
        AnonymousPipeServerStream? output = null, error = null;
        byte* actions = stackalloc byte[Posix.OpaqueSize], attributes = stackalloc byte[Posix.OpaqueSize], signals = stackalloc byte[Posix.OpaqueSize];
        Check(Posix.FileActionsInit(actions), program);
        Check(Posix.AttributesInit(attributes), program);
        var argumentVector = Vector([program, .. arguments]);
        var environmentVector = Vector([.. environment.Select(variable => $"{variable.Key}={variable.Value}")]);
        try
        {
            if (input is not null) Check(Posix.FileActionsAddDuplicate(actions, (int)input.DangerousGetHandle(), 0), program);
            else if (!inheritsInput) Check(Posix.FileActionsAddOpen(actions, 0, "/dev/null", 0, 0), program);
            if (capture)
            {
                output = new AnonymousPipeServerStream(PipeDirection.In, HandleInheritability.None);
                error = new AnonymousPipeServerStream(PipeDirection.In, HandleInheritability.None);
                Check(Posix.FileActionsAddDuplicate(actions, (int)output.ClientSafePipeHandle.DangerousGetHandle(), 1), program);
                Check(Posix.FileActionsAddDuplicate(actions, (int)error.ClientSafePipeHandle.DangerousGetHandle(), 2), program);
            }
            // The .NET runtime ignores SIGPIPE for itself; what else is ignored (by nohup, say) stays so for the child.
            Check(Posix.SignalSetEmpty(signals), program);
            Check(Posix.AttributesSetSignalMask(attributes, signals), program);
            Check(Posix.SignalSetAdd(signals, Posix.SigPipe), program);
            Check(Posix.AttributesSetSignalDefaults(attributes, signals), program);
            if (group is { } joined) Check(Posix.AttributesSetGroup(attributes, joined), program);
            Check(Posix.AttributesSetFlags(
                attributes, (short)(Posix.SpawnSetSignalDefaults | Posix.SpawnSetSignalMask | (group is null ? 0 : Posix.SpawnSetProcessGroup))), program);
            Check(Spawn(program, actions, attributes, argumentVector, environmentVector, cpus, out var id), program);
            output?.DisposeLocalCopyOfClientHandle();
            error?.DisposeLocalCopyOfClientHandle();
            return new ChildProcess(id, output, error);
        }
        catch
        {
            output?.Dispose();
            error?.Dispose();
            throw;
        }
        finally
        {
            Free(argumentVector);
            Free(environmentVector);
            _ = Posix.AttributesDestroy(attributes);
            _ = Posix.FileActionsDestroy(actions);
        }
    }

    /// <summary>Waits for the end of the process.</summary>
    public ExitStatus Wait()
    {
        int ended, status;
        do ended = Posix.WaitPid(Id, out status, 0);
        while (ended < 0 && Marshal.GetLastPInvokeError() == 4); // interrupted by a signal
        return ended == Id ? ExitStatus.FromWait(status) : throw new InvalidOperationException($"Process {Id} cannot be waited for (error {Marshal.GetLastPInvokeError()}).");
    }

    /// <summary>A child begins on the CPUs of the thread that starts it, from its first instruction and first allocation on.</summary>
    private static int Spawn(string program, byte* actions, byte* attributes, byte** arguments, byte** environment, CpuSet? cpus, out int id)
    {
        if (cpus is null || ThreadAffinity.Get() is not { } own) return Posix.Spawn(out id, program, actions, attributes, arguments, environment);
        ThreadAffinity.Set(cpus);
        try
        {
            return Posix.Spawn(out id, program, actions, attributes, arguments, environment);
        }
        finally
        {
            ThreadAffinity.Set(own);
        }
    }

    private static void Check(int error, string program)
    {
        if (error != 0) throw new UserErrorException($"'{program}' cannot be started: {Marshal.GetPInvokeErrorMessage(error)}.");
    }

    private static byte** Vector(IReadOnlyList<string> texts)
    {
        var vector = (byte**)NativeMemory.AllocZeroed((nuint)texts.Count + 1, (nuint)sizeof(byte*));
        for (var i = 0; i < texts.Count; i++)
        {
            var bytes = Encoding.UTF8.GetBytes(texts[i]);
            vector[i] = (byte*)NativeMemory.AllocZeroed((nuint)bytes.Length + 1);
            bytes.CopyTo(new Span<byte>(vector[i], bytes.Length));
        }
        return vector;
    }

    private static void Free(byte** vector)
    {
        for (var text = vector; *text is not null; text++) NativeMemory.Free(*text);
        NativeMemory.Free(vector);
    }
}
