using AccelerateSharp.Data;
using AccelerateSharp.Data.Sampling;
using AccelerateSharp.Tests.Interop;
using static TorchSharp.torch;

namespace AccelerateSharp.Tests.Data;

/// <summary>Orders that torch's global generator decides: nothing else may draw from it meanwhile.</summary>
[Collection(ProcessWideCounters.Name)]
public class ShuffleTests
{
    [Fact]
    public void Without_a_seed_the_global_generator_decides_and_epochs_differ()
    {
        var sampler = new SeedableRandomSampler(100);
        manual_seed(7);
        long[][] first = [[.. sampler.Begin(0, SingleProcessContext.Cpu)], [.. sampler.Begin(1, SingleProcessContext.Cpu)]];
        manual_seed(7);
        long[][] second = [[.. sampler.Begin(0, SingleProcessContext.Cpu)], [.. sampler.Begin(1, SingleProcessContext.Cpu)]];
        Assert.Equal(first, second);
        Assert.NotEqual(first[0], first[1]);
        Assert.Equal(Enumerable.Range(0, 100).Select(i => (long)i), first[0].Order());
    }

    [Fact]
    public void A_shuffle_is_the_same_on_every_rank_and_on_one()
    {
        foreach (var kind in new[] { "shuffled tensor", "shuffled torch" })
        {
            manual_seed(3);
            var alone = InMemoryRanks.Run(1, context => TwoEpochs(kind, context, 12));
            manual_seed(3);
            var together = InMemoryRanks.Run(3, context => TwoEpochs(kind, context, 4));
            for (var epoch = 0; epoch < 2; epoch++)
            {
                var steps = together[0][epoch].Index().Select(step => together.SelectMany(rank => rank[epoch][step.Index].Values).ToArray()).ToArray();
                Assert.Equal(alone[0][epoch].Select(batch => batch.Values), steps);
                Assert.Equal(Enumerable.Range(0, 24).Select(i => (long)i), steps.SelectMany(values => values).Order());
            }
            Assert.NotEqual(PreparedLoaderTests.Show(together[0][0]), PreparedLoaderTests.Show(together[0][1]));
        }

        static List<PreparedLoaderTests.Seen>[] TwoEpochs(string kind, IDataParallelContext context, int batchSize)
        {
            var state = new GradientState();
            var loader = LoaderPreparation.PrepareAny(
                PreparedLoaderTests.Make(kind, 24, batchSize, dropLast: false), new LoaderBinding(context, state, new DataLoaderConfiguration(), devicePlacement: true));
            return [PreparedLoaderTests.Epoch(loader, state), PreparedLoaderTests.Epoch(loader, state)];
        }
    }
}
