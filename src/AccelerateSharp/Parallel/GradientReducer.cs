using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Precision.Fp8;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.Parallel;

/// <summary>Data-parallel training of one model: averages its gradients over the ranks while the backward pass still runs.</summary>
/// <remarks>
/// <para>
/// In each forward the model computes with aliases of its parameters that hang on autograd nodes of ours. A node is called the
/// moment all gradients of its parameters are complete; they are copied into the bucket, and the bucket's all-reduce starts when
/// all buckets before it have started, so that every rank issues the same collectives in the same order. What is left is finished
/// when <see cref="Accelerator.Backward(Tensor)"/> ends. Design: Li et al., "PyTorch Distributed", VLDB 2020.
/// </para>
/// <para>
/// The first synchronised backward watches each parameter alone: the order in which gradients arrive decides the final buckets
/// (rank 0's order, for all), and parameters whose gradients come past the nodes - native-backed modules such as LSTM, or
/// parameters that the loss uses outside of the model's forward - are reduced after the backward pass from then on.
/// </para>
/// </remarks>
internal sealed class GradientReducer : IGradientSynchronizer
{
    private readonly Module _model;
    private readonly ProcessGroup _group;
    private readonly DistributedDataParallelKwargs _options;
    private readonly IReadOnlyList<ParameterGradient> _parameters;
    private readonly ModelBuffers _buffers;
    private readonly List<GradientBucket> _buckets = [];
    private readonly List<int> _arrivals = [];
    private readonly HashSet<int> _strays = [];
    private readonly BackwardErrors _errors;
    private readonly Lock _gate = new();
    private ParameterSwap? _swap;
    private int _forwards;
    private int _launched;
    private bool _planned;
    private bool _synchronize;
    private bool _inBackward;
    private bool _arrived;
    private bool _bypassed;

    public GradientReducer(Module model, ProcessGroup group, DistributedDataParallelKwargs options, BackwardErrors errors)
    {
        (_model, _group, _options, _errors) = (model, group, options, errors);
        // What MS-AMP stores is averaged in float8, elsewhere.
        var slots = ParameterSlots.Of(model).Where(slot => slot.Parameter.requires_grad && !MsAmpWeight.TryFind(slot.Parameter, out _)).ToList();
        _parameters = [.. slots.Select((slot, i) => new ParameterGradient(slot, i))];
        _buffers = new ModelBuffers(model, group);
        CreateBuckets([.. _parameters.Reverse()]);
    }

    /// <summary>The model whose gradients these are.</summary>
    public Module Model => _model;

    /// <summary>Names of the parameters without a gradient on any rank in the last synchronised backward.</summary>
    public IReadOnlyList<string> UnusedParameters { get; private set; } = [];

    /// <summary>Whether the last backward changed <see cref="UnusedParameters"/>.</summary>
    public bool UnusedParametersChanged { get; private set; }

    /// <summary>Before the model's forward: the parameters' aliases go in.</summary>
    public void BeforeForward(bool synchronize)
    {
        // After an exception in the last forward its aliases are still in place.
        AfterForward();
        if (_bypassed)
        {
            throw new InvalidOperationException(
                $"Rank {_group.Rank}: a backward pass of this model ran without Accelerator.Backward, so its gradients were not averaged over the {_group.Size} processes. "
                + "Call accelerator.Backward(loss) in place of loss.backward().");
        }

        if (_options.BroadcastBuffers && synchronize && _model.training) _buffers.Broadcast();
        if (!is_grad_enabled() || _parameters.Count == 0) return;
        _forwards++;
        _swap = new ParameterSwap(_errors);
        foreach (var members in Granularity())
        {
            _swap.In(members, gradients => OnGradients(members, gradients));
            members[0].Bucket.Pending++;
        }
    }

    /// <summary>After the model's forward: the parameters themselves come back.</summary>
    public void AfterForward()
    {
        _swap?.Restore();
        _swap = null;
    }

    /// <summary>Before a backward pass; <paramref name="synchronize"/> says whether it ends an accumulation window.</summary>
    public void BeforeBackward(bool synchronize)
    {
        AfterForward();
        _synchronize = synchronize;
        _launched = 0;
        _arrived = false;
        foreach (var parameter in _parameters) parameter.Withdraw();
        _inBackward = true;
    }

    /// <summary>After a backward pass: reduces what is left and shows or hides the gradients.</summary>
    /// <param name="hide">Keep the gradients from the optimizer: the window that they accumulate for is not over.</param>
    public void AfterBackward(bool hide)
    {
        _inBackward = false;
        UnusedParametersChanged = false;
        using var noGrad = no_grad();
        CollectDirectGradients();
        if (_synchronize && (_arrived || (_options.FindUnusedParameters && _forwards > 0)))
        {
            foreach (var bucket in _buckets.Skip(_launched)) bucket.Launch(_group);
            foreach (var bucket in _buckets) bucket.Finish();
            FindUnused();
            _forwards = 0;
            foreach (var bucket in _buckets) bucket.Pending = 0;
            if (!_planned) AgreeOnPlan();
        }

        foreach (var parameter in _parameters.Where(parameter => parameter.Held))
        {
            if (hide) parameter.Hide();
            else parameter.Show();
        }
    }

    /// <summary>After a backward pass that failed: nothing half-reduced is left in flight or in sight.</summary>
    public void AbandonBackward()
    {
        _inBackward = false;
        _forwards = 0;
        foreach (var bucket in _buckets)
        {
            bucket.Abandon();
            bucket.Pending = 0;
        }
    }

    public void Dispose()
    {
        foreach (var bucket in _buckets) bucket.Dispose();
        foreach (var parameter in _parameters) parameter.View.Dispose();
    }

    /// <summary>One node for each bucket; while the order of arrival is still to be learned, one for each parameter.</summary>
    private IEnumerable<IReadOnlyList<ParameterGradient>> Granularity()
    {
        foreach (var bucket in _buckets.Where(bucket => !bucket.IsLate))
        {
            if (_planned) yield return bucket.Members;
            else foreach (var member in bucket.Members) yield return [member];
        }
    }

    /// <summary>Called by the autograd engine, on CUDA from a thread of its own, when all gradients of a node are complete.</summary>
    private void OnGradients(IReadOnlyList<ParameterGradient> members, GradientSlots gradients)
    {
        lock (_gate)
        {
            if (!_inBackward)
            {
                PassOn(gradients);
                return;
            }

            var bucket = members[0].Bucket;
            if (bucket.IsLaunched)
            {
                throw new InvalidOperationException(
                    $"Rank {_group.Rank}: a gradient of '{members[0].Name}' arrived after its bucket was reduced, from a forward before the last synchronised backward. "
                    + "Run the backward of every forward before the window ends, or build the loss from forwards of the same window.");
            }

            using var noGrad = no_grad();
            _arrived = true;
            for (var i = 0; i < members.Count; i++)
            {
                if (gradients[i] is not { } gradient) continue;
                members[i].Add(gradient);
                if (!_planned) _arrivals.Add(members[i].Order);
            }

            if (bucket.Pending > 0 && --bucket.Pending == 0) LaunchComplete();
        }
    }

    /// <summary>A backward without the accelerator: the gradients stay this rank's own, and the next forward says so.</summary>
    private void PassOn(GradientSlots gradients)
    {
        _bypassed = true;
        for (var i = 0; i < gradients.Count; i++)
            if (gradients[i] is { } gradient) gradients.PassOn(i, gradient);
    }

    private void LaunchComplete()
    {
        if (!_synchronize || !_planned) return;
        while (_launched < _buckets.Count && _buckets[_launched] is { Pending: 0, IsLate: false } bucket)
        {
            bucket.Launch(_group);
            _launched++;
        }
    }

    /// <summary>Takes in the gradients that autograd left in the parameters themselves.</summary>
    private void CollectDirectGradients()
    {
        foreach (var parameter in _parameters)
        {
            using var direct = parameter.Parameter.grad;
            if (direct is null) continue;
            if (parameter.Bucket.IsLaunched)
            {
                throw new InvalidOperationException(
                    $"Rank {_group.Rank}: parameter '{parameter.Name}' got a gradient from outside of its model's forward, which it did not in the first step. "
                    + "Use the parameter outside of the forward from the first step on, or inside of it only.");
            }

            parameter.Add(direct);
            parameter.Parameter.grad = null;
            _arrived = true;
            _strays.Add(parameter.Order);
        }
    }

    /// <summary>All ranks take rank 0's order of arrival, and agree on which gradients come past the nodes.</summary>
    private void AgreeOnPlan()
    {
        var reports = _group.AllGatherObject(new ArrivalReport([.. _arrivals.Distinct()], [.. _strays]));
        var late = reports.SelectMany(report => report.Strays).ToHashSet();
        var seen = reports[0].Arrivals;
        var rest = _parameters.Select(parameter => parameter.Order).Reverse().Except(seen);
        var old = _buckets.ToArray();
        _strays.UnionWith(late);
        _buckets.Clear();
        CreateBuckets([.. seen.Concat(rest).Select(order => _parameters[order])]);
        foreach (var bucket in old) bucket.Dispose();
        _planned = true;
        _arrivals.Clear();
    }

    private void FindUnused()
    {
        string[] unused = [.. _parameters.Where(parameter => !parameter.Held).Select(parameter => parameter.Name)];
        UnusedParametersChanged = !unused.SequenceEqual(UnusedParameters);
        UnusedParameters = unused;
    }

    private void CreateBuckets(IReadOnlyList<ParameterGradient> ordered)
    {
        foreach (var members in BucketPlanner.Plan(ordered, IsLate, _options))
            _buckets.Add(new GradientBucket(members, IsLate(members[0])));
    }

    private bool IsLate(ParameterGradient parameter) => !parameter.Slot.CanSwap || _strays.Contains(parameter.Order);

    internal sealed record ArrivalReport(int[] Arrivals, int[] Strays);
}
