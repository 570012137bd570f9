using AccelerateSharp.GpuCheck;

// Checks and measures the collectives of one backend; started once for each rank, with RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT.
//   --backend nccl|gloo   nccl by default
//   --only bandwidth      no checks
//   --small               for a rehearsal on CPUs: smaller tensors
var backend = Option("--backend") ?? "nccl";
var only = Option("--only");
var small = args.Contains("--small");

Job job;
try
{
    job = new Job(backend);
}
catch (Exception e)
{
    Console.WriteLine($"FAILED to join: {e}");
    return 2;
}

job.Say($"{backend} on {job.Device}, {job.Size} ranks, process {Environment.ProcessId}{(job.IsCuda ? $", NCCL {AccelerateSharp.Distributed.Nccl.NcclLibrary.Version}" : "")}");
if (only is null)
{
    var sizes = small ? Values.SmallSizes : Values.Sizes;
    var world = new CollectiveChecks(job, job.World);
    job.Section("collectives", () => world.Run(sizes));
    job.Section("shapes and objects", world.Shapes);
    job.Section("transfers", () => world.Transfers(sizes));
    job.Section("sub-groups", () => SubGroups(job));
    var overlap = new OverlapChecks(job);
    job.Section("many in flight", overlap.ManyInFlight);
    job.Section("memory of dropped inputs", overlap.MemoryOfADroppedInputIsNotReused);
    job.Section("overlap with compute", () => overlap.Overlap(small));
}

job.Section("bandwidth", () => Bandwidth.Measure(job, small ? [1, 4] : [1, 16, 256]));
if (only is null && job.Size > 1)
{
    var failures = new FailureChecks(job);
    job.Section("mismatch", failures.Mismatch);
    job.Section("time-out", failures.TimeOut);
    job.Section("dead peer", failures.DeadPeer);
}

job.Say(job.Failures == 0 ? $"ALL RIGHT: {job.Passed} checks" : $"{job.Failures} WRONG, {job.Passed} right");
var result = job.Failures == 0 ? 0 : 1;
var leaving = Environment.TickCount64;
job.Dispose();
job.Say($"left after {Environment.TickCount64 - leaving} ms");
return result;

string? Option(string name)
{
    var index = Array.IndexOf(args, name);
    return index >= 0 && index + 1 < args.Length ? args[index + 1] : null;
}

static void SubGroups(Job job)
{
    var everyone = Enumerable.Range(0, job.Size).ToArray();
    foreach (var ranks in new[] { everyone.Reverse().ToArray(), [.. everyone.Where(rank => rank % 2 == 0)], [.. everyone.Where(rank => rank % 2 == 1)] })
    {
        if (ranks.Length == 0) continue;
        using var group = job.World.CreateSubGroup(ranks);
        if (group is null) continue;
        var checks = new CollectiveChecks(job, group);
        checks.Run([1, 10_007]);
        checks.Transfers([1, 10_007]);
    }
}
