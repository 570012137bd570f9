using System.Runtime.InteropServices;

namespace AccelerateSharp.Cli.Launch.Affinity;

/// <summary>The CPUs that the kernel lets the calling thread, and the processes that it starts, run on.</summary>
internal static unsafe partial class ThreadAffinity
{
    private const int MaxCpus = 8192, BitsPerWord = 64;

    /// <summary>The CPUs of the calling thread; null where the system does not tell.</summary>
    public static CpuSet? Get()
    {
        var mask = stackalloc ulong[MaxCpus / BitsPerWord];
        new Span<ulong>(mask, MaxCpus / BitsPerWord).Clear();
        if (!OperatingSystem.IsLinux() || GetAffinity(0, MaxCpus / 8, mask) < 0) return null;
        var cpus = new List<int>();
        for (var cpu = 0; cpu < MaxCpus; cpu++)
        {
            if ((mask[cpu / BitsPerWord] >> (cpu % BitsPerWord) & 1) != 0) cpus.Add(cpu);
        }
        return new CpuSet(cpus);
    }

    /// <summary>Moves the calling thread.</summary>
    public static void Set(CpuSet cpus)
    {
        var mask = stackalloc ulong[MaxCpus / BitsPerWord];
        new Span<ulong>(mask, MaxCpus / BitsPerWord).Clear();
        foreach (var cpu in cpus.Cpus) mask[cpu / BitsPerWord] |= 1UL << (cpu % BitsPerWord);
        if (SetAffinity(0, MaxCpus / 8, mask) != 0)
            throw new UserErrorException($"The system refuses the CPUs {cpus} to a worker: {Marshal.GetLastPInvokeErrorMessage()}. Leave out --enable_cpu_affinity.");
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity", SetLastError = true)]
    private static partial int GetAffinity(int thread, nuint size, ulong* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SetAffinity(int thread, nuint size, ulong* mask);
}
