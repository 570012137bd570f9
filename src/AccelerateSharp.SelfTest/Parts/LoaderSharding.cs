using static TorchSharp.torch;

namespace AccelerateSharp.SelfTest.Parts;

/// <summary>The processes together read every sample of an epoch, in equally many batches, and in another order the next time.</summary>
internal static class LoaderSharding
{
    private const int BatchSize = 4;

    public static void Run(Accelerator accelerator, Findings findings)
    {
        var world = accelerator.NumProcesses;
        var count = (BatchSize * world * 5) + 3; // the last step is not full
        using var samples = arange(count, ScalarType.Int64);
        var loader = accelerator.Prepare(BatchLoader.FromTensor(samples, BatchSize, shuffle: true, seed: 42));
        var first = Epoch(accelerator, loader, findings, count);
        var second = Epoch(accelerator, loader, findings, count);
        findings.Expect(!first.SequenceEqual(second), "two epochs of a shuffled loader have the same order");
        findings.Note = $"{count} samples, batches of {BatchSize}";
        accelerator.FreeMemory();
    }

    private static long[] Epoch(Accelerator accelerator, BatchLoader<Tensor> loader, Findings findings, int count)
    {
        var (mine, batches) = (new List<long>(), 0);
        foreach (var batch in loader)
        {
            using var onCpu = batch.cpu();
            mine.AddRange(onCpu.data<long>());
            batches++;
        }
        var everybody = accelerator.GatherObject<long[]>([[.. mine]]);
        var numbers = accelerator.GatherObject<int>([batches]);
        findings.Expect(numbers.All(number => number == numbers[0]), $"batches of each rank: {string.Join(", ", numbers)}; they must be equally many");
        var seen = everybody.SelectMany(samples => samples).ToHashSet();
        findings.Expect(seen.SetEquals(Enumerable.Range(0, count).Select(i => (long)i)), $"{seen.Count} of {count} samples were read");
        // The last step is completed with samples from the start, so that every rank has a full batch.
        var full = (count + (BatchSize * accelerator.NumProcesses) - 1) / (BatchSize * accelerator.NumProcesses) * BatchSize * accelerator.NumProcesses;
        var read = everybody.Sum(samples => samples.Length);
        findings.Expect(read == full || (accelerator.NumProcesses == 1 && read == count), $"{read} samples were read, some too often: {full} fill the last step");
        return [.. everybody.SelectMany(samples => samples)];
    }
}
