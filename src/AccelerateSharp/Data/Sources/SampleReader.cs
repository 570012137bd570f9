namespace AccelerateSharp.Data.Sources;

/// <summary>Reads samples one by one and joins them, saying which one failed.</summary>
internal static class SampleReader
{
    public static Func<long[], TBatch> Create<TSample, TBatch>(Func<long, TSample> get, Func<IReadOnlyList<TSample>, TBatch> collate) => indices =>
    {
        var samples = new TSample[indices.Length];
        for (var i = 0; i < indices.Length; i++)
        {
            try
            {
                samples[i] = get(indices[i]);
            }
            catch (Exception error)
            {
                throw new DataLoadingException($"Sample {indices[i]} could not be read: {error.Message}", error) { SampleIndex = indices[i] };
            }
        }
        return Collate(samples, collate, $"the batch of samples {Show(indices)}");
    };

    public static TBatch Collate<TSample, TBatch>(IReadOnlyList<TSample> samples, Func<IReadOnlyList<TSample>, TBatch> collate, string what)
    {
        try
        {
            return collate(samples);
        }
        catch (Exception error)
        {
            throw new DataLoadingException($"Collating {what} failed: {error.Message}", error);
        }
    }

    private static string Show(long[] indices) =>
        indices.Length <= 8 ? string.Join(", ", indices) : $"{string.Join(", ", indices.Take(8))}, … ({indices.Length} in all)";
}
