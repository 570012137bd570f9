using static TorchSharp.torch;

namespace AccelerateSharp.SelfTest.Parts;

/// <summary>An evaluation counts every sample exactly once, whatever the number of processes and the size of the last batch.</summary>
internal static class MetricsGathering
{
    private const int BatchSize = 4;

    public static void Run(Accelerator accelerator, Findings findings)
    {
        var whole = BatchSize * accelerator.NumProcesses;
        int[] counts = [whole * 3, (whole * 3) + 1, (whole * 3) + BatchSize + 1, 1];
        foreach (var count in counts)
        {
            using var samples = arange(count, ScalarType.Int64);
            var loader = accelerator.Prepare(BatchLoader.FromTensor(samples, BatchSize));
            var seen = new List<long>();
            foreach (var batch in loader)
            {
                using var gathered = accelerator.GatherForMetrics(batch).cpu();
                seen.AddRange(gathered.data<long>());
            }
            findings.Equal(Enumerable.Range(0, count).Select(i => (long)i), seen.Order(), $"samples that a metric over {count} sees");
        }
        accelerator.FreeMemory();
        findings.Note = $"{string.Join(", ", counts)} samples";
    }
}
