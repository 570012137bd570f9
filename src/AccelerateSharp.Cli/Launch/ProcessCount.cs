using System.Globalization;
using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch;

/// <summary>How many processes there are.</summary>
/// <param name="World">On all machines.</param>
/// <param name="Local">On this one.</param>
/// <param name="Source">Why.</param>
internal sealed record ProcessCount(int World, int Local, string Source)
{
    /// <exception cref="UserErrorException">The machines or their GPUs have no room for what was asked for.</exception>
    public static ProcessCount Decide(LaunchSettings settings, EnvironmentReader environment, bool onGpu, int gpuCount)
    {
        var machines = settings.MachineCount.Value;
        if (settings.ProcessCount is { Value: < 1 } few) throw new UserErrorException($"{few}: at least one process is needed.");
        CheckGpus(settings, environment, onGpu, gpuCount);
        var gpus = settings.GpuIds?.Value.Split(',').Length ?? gpuCount;
        var (world, source) = settings.ProcessCount is { } asked ? (asked.Value, asked.Source)
            : settings.ProcessesPerMachine is { Value: > 0 } each ? (each.Value * machines, each.Source)
            : onGpu ? (gpus * machines, machines == 1 ? "one for each GPU" : $"one for each of the {gpus} GPUs of each machine")
            : (machines, "the default without GPUs; --num_processes sets another number");
        if (world % machines != 0)
            throw new UserErrorException($"{settings.ProcessCount} cannot be divided among {settings.MachineCount}. It is the number over all machines.");
        var local = world / machines;
        if (onGpu && local > gpus)
        {
            throw new UserErrorException(
                $"{settings.ProcessCount ?? settings.ProcessesPerMachine} puts {local} processes on this machine, which has {gpus} GPU(s){(settings.GpuIds is null ? "" : $" in {settings.GpuIds}")}. "
                + $"Pass --num_processes {gpus * machines}, or --cpu.");
        }
        if (settings.MultiGpu && world < 2) throw new UserErrorException("--multi_gpu is for two processes and more. Pass --num_processes with a larger number, or leave out --multi_gpu.");
        return new ProcessCount(world, local, source);
    }

    private static void CheckGpus(LaunchSettings settings, EnvironmentReader environment, bool onGpu, int gpuCount)
    {
        if (settings.MultiGpu && !onGpu) throw new UserErrorException("--multi_gpu: no GPU was found on this machine. `accelerate env` tells what was looked for; --cpu trains without.");
        if (settings.GpuIds is not { } ids || !onGpu) return;
        var list = ids.Value.Split(',');
        if (settings.MultiGpu && settings.MachineCount.Value == 1 && list.Length < 2) throw new UserErrorException($"--multi_gpu on one machine needs two GPUs at least; there is {ids}.");
        // The launcher counts those that CUDA_VISIBLE_DEVICES leaves, which the choice replaces.
        if (environment.Text(EnvironmentVariables.CudaVisibleDevices) is null
            && list.FirstOrDefault(id => int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= gpuCount) is { } missing)
            throw new UserErrorException($"{ids}: there is no GPU {missing}; this machine has {gpuCount}, counted from 0.");
    }
}
