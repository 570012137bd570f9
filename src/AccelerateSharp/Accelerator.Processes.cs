using TorchSharp;

namespace AccelerateSharp;

public sealed partial class Accelerator
{
    private torch.Tensor? _trigger;

    /// <inheritdoc cref="PartialState.WaitForEveryone"/>
    public void WaitForEveryone() => _state.PartialState.WaitForEveryone();

    /// <inheritdoc cref="PartialState.MainProcessFirst"/>
    public IDisposable MainProcessFirst() => _state.PartialState.MainProcessFirst();

    /// <inheritdoc cref="PartialState.LocalMainProcessFirst"/>
    public IDisposable LocalMainProcessFirst() => _state.PartialState.LocalMainProcessFirst();

    /// <inheritdoc cref="PartialState.OnMainProcess(Action)"/>
    public void OnMainProcess(Action action) => _state.PartialState.OnMainProcess(action);

    /// <inheritdoc cref="PartialState.OnMainProcess{T}(Func{T})"/>
    public T? OnMainProcess<T>(Func<T> function) => _state.PartialState.OnMainProcess(function);

    /// <inheritdoc cref="PartialState.OnLocalMainProcess(Action)"/>
    public void OnLocalMainProcess(Action action) => _state.PartialState.OnLocalMainProcess(action);

    /// <inheritdoc cref="PartialState.OnLastProcess"/>
    public void OnLastProcess(Action action) => _state.PartialState.OnLastProcess(action);

    /// <inheritdoc cref="PartialState.OnProcess"/>
    public void OnProcess(int processIndex, Action action) => _state.PartialState.OnProcess(processIndex, action);

    /// <inheritdoc cref="PartialState.OnLocalProcess"/>
    public void OnLocalProcess(int localProcessIndex, Action action) => _state.PartialState.OnLocalProcess(localProcessIndex, action);

    /// <inheritdoc cref="PartialState.Print"/>
    public void Print(string? message) => _state.PartialState.Print(message);

    /// <inheritdoc cref="PartialState.SplitBetweenProcesses{T}(IReadOnlyList{T}, bool)"/>
    public IReadOnlyList<T> SplitBetweenProcesses<T>(IReadOnlyList<T> inputs, bool applyPadding = false) =>
        _state.PartialState.SplitBetweenProcesses(inputs, applyPadding);

    /// <inheritdoc cref="PartialState.SplitBetweenProcesses(torch.Tensor, bool)"/>
    public torch.Tensor SplitBetweenProcesses(torch.Tensor inputs, bool applyPadding = false) =>
        _state.PartialState.SplitBetweenProcesses(inputs, applyPadding);

    /// <summary>Raises this process' trigger; every process sees it at its next <see cref="CheckTrigger"/> (early stopping).</summary>
    public void SetTrigger() => Trigger.fill_(1);

    /// <summary>Whether any process raised its trigger since the last check. A collective: every process calls it.</summary>
    public bool CheckTrigger()
    {
        using var sum = Reduce(Trigger, "sum");
        Trigger.zero_();
        return sum.item<int>() >= 1;
    }

    /// <summary>Seeds the random numbers of this process' torch (CPU and GPUs).</summary>
    /// <param name="seed">The seed.</param>
    /// <param name="deviceSpecific">Add the rank, so that processes draw different numbers.</param>
    public static void SetSeed(long seed, bool deviceSpecific = false)
    {
        if (deviceSpecific) seed += new PartialState().ProcessIndex;
        torch.random.manual_seed(seed);
        if (torch.cuda_is_available()) torch.cuda.manual_seed_all(seed);
    }

    /// <summary>Waits for everyone and takes leave of the job. Call it last; afterwards this accelerator is used up.</summary>
    public void EndTraining()
    {
        WaitForEveryone();
        FreeMemory();
        _lossScaling?.Dispose();
        _trigger?.Dispose();
        _trigger = null;
        _state.PartialState.DestroyProcessGroup();
    }

    private torch.Tensor Trigger => _trigger ??= torch.zeros(1, torch.ScalarType.Int32, Device).DetachFromDisposeScope();
}
