using AccelerateSharp.Estimation;

namespace AccelerateSharp.Core.Tests.Estimation;

public sealed class ReferenceEstimateTests
{
    [Fact]
    public void Bert_is_estimated_as_the_reference_does()
    {
        var model = ArchitectureTests.Derive(Configs.BertBaseCased);
        Assert.Equal(433_249_280, ReferenceEstimate.TotalBytes(model));
        Assert.Equal(("embeddings", 90_669_056), ReferenceEstimate.LargestLayer(model));
        var rows = ReferenceEstimate.Rows(model, ReferenceEstimate.DefaultDtypes);
        Assert.Equal(
            ["86.47 MB 413.18 MB | 413.18 MB 413.18 MB 826.36 MB 1.61 GB | 1.61 GB", "43.23 MB 206.59 MB | 413.18 MB 619.77 MB 826.36 MB 826.36 MB | 826.36 MB",
                "21.62 MB 103.29 MB", "10.81 MB 51.65 MB"],
            rows.Select(Text));
    }

    [Fact]
    public void Llama_agrees_with_the_talk()
    {
        var rows = ReferenceEstimate.Rows(ArchitectureTests.Derive(Configs.Llama38B), ["float32", "float16"]);
        AssertGigabytes([28.21, 28.21, 56.43, 112.84, 112.84], rows[0].Training!);
        AssertGigabytes([28.21, 42.32, 56.43, 56.43, 56.43], rows[1].Training!);

        static void AssertGigabytes(double[] expected, TrainingPhases phases)
        {
            double[] actual = [phases.Model, phases.Gradients, phases.BackwardPass, phases.OptimizerStep, phases.Highest];
            Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second / (1L << 30), tolerance: 0.02));
        }
    }

    [Fact]
    public void Recipes_hold_what_their_formats_say() =>
        Assert.Equal([("FP16 AMP", 16), ("TE", 16), ("MS-AMP O1", 11), ("MS-AMP O2", 6), ("MS-AMP O3", 7)],
            PrecisionRecipe.All.Select(recipe => (recipe.Name, recipe.Total)));

    [Theory]
    [InlineData(0, "0.0 bytes")]
    [InlineData(1023, "1023.0 bytes")]
    [InlineData(1024, "1.0 KB")]
    [InlineData(433_249_280, "413.18 MB")]
    [InlineData(1.5e15, "1.33 PB")]
    public void Bytes_are_written_as_the_reference_does(double bytes, string text) => Assert.Equal(text, MemoryText.Format(bytes));

    [Theory]
    [InlineData("80", 80L << 30)]
    [InlineData("80GiB", 80L << 30)]
    [InlineData("80 gb", 80_000_000_000)]
    [InlineData("1.5TiB", 3L << 39)]
    [InlineData("512MiB", 512L << 20)]
    public void Memory_is_read(string text, long bytes) => Assert.Equal(bytes, MemoryText.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("GB")]
    [InlineData("-1GB")]
    [InlineData("0")]
    [InlineData("80XB")]
    [InlineData("1e400")]
    [InlineData("9999999999999TB")]
    public void What_is_no_memory_is_refused(string text) => Assert.Throws<EstimationException>(() => MemoryText.Parse(text));

    private static string Text(EstimateRow row)
    {
        var loading = $"{MemoryText.Format(row.LargestLayer)} {MemoryText.Format(row.Total)}";
        return row.Training is not { } phases ? loading
            : $"{loading} | {MemoryText.Format(phases.Model)} {MemoryText.Format(phases.Gradients)} {MemoryText.Format(phases.BackwardPass)} {MemoryText.Format(phases.OptimizerStep)} | {MemoryText.Format(phases.Highest)}";
    }
}
