namespace AccelerateSharp.Data.Sampling;

/// <summary>The condition under which a global batch can be cut into one slice per rank.</summary>
internal static class SplitBatches
{
    public static void Check(int? batchSize, int size)
    {
        if (batchSize is not { } whole)
        {
            throw new ArgumentException(
                "DataLoaderConfiguration.SplitBatches needs a loader with a fixed batch size; these batches have sizes of their own. "
                + "Set SplitBatches to false.");
        }
        if (whole > 1 && whole % size != 0 || whole == 1 && size > 1)
        {
            throw new ArgumentException(
                $"DataLoaderConfiguration.SplitBatches cuts every batch into one slice per rank: a batch size of {whole} does not divide "
                + $"by the {size} ranks. Use a multiple of {size}, or set SplitBatches to false.");
        }
    }
}
