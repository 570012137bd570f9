namespace AccelerateSharp;

public sealed partial class PartialState
{
    /// <summary>Waits until every process is here. Does nothing in a job of one process.</summary>
    public void WaitForEveryone() => ProcessGroup?.Barrier();

    /// <summary>Lets rank 0 run a block before the others: <c>using (state.MainProcessFirst()) { … }</c>.</summary>
    /// <returns>The block's scope. The others are let in when it ends, also when it ends by an exception.</returns>
    public IDisposable MainProcessFirst() => new FirstScope(this, IsMainProcess);

    /// <summary>Lets the first process of each machine run a block before the others of that machine.</summary>
    /// <returns>The block's scope. The others are let in when it ends, also when it ends by an exception.</returns>
    public IDisposable LocalMainProcessFirst() => new FirstScope(this, IsLocalMainProcess);

    /// <summary>Runs an action on rank 0 only.</summary>
    public void OnMainProcess(Action action) => RunIf(IsMainProcess, action);

    /// <summary>Runs a function on rank 0 only; the others get the type's default.</summary>
    public T? OnMainProcess<T>(Func<T> function) => RunIf(IsMainProcess, function);

    /// <summary>Runs an action on the first process of each machine only.</summary>
    public void OnLocalMainProcess(Action action) => RunIf(IsLocalMainProcess, action);

    /// <summary>Runs a function on the first process of each machine only; the others get the type's default.</summary>
    public T? OnLocalMainProcess<T>(Func<T> function) => RunIf(IsLocalMainProcess, function);

    /// <summary>Runs an action on the last rank only.</summary>
    public void OnLastProcess(Action action) => RunIf(IsLastProcess, action);

    /// <summary>Runs an action on one rank only.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is no such rank in this job.</exception>
    public void OnProcess(int processIndex, Action action)
    {
        if (processIndex < 0 || processIndex >= NumProcesses)
            throw new ArgumentOutOfRangeException(nameof(processIndex), processIndex, $"The job has the ranks 0 to {NumProcesses - 1}.");
        RunIf(ProcessIndex == processIndex, action);
    }

    /// <summary>Runs an action on one process of each machine only.</summary>
    public void OnLocalProcess(int localProcessIndex, Action action) => RunIf(LocalProcessIndex == localProcessIndex, action);

    /// <summary>Writes a line on the first process of each machine only.</summary>
    public void Print(string? message)
    {
        if (IsLocalMainProcess) Console.WriteLine(message);
    }

    private static void RunIf(bool mine, Action action)
    {
        ArgumentNullException.ThrowIfNull(action);
        if (mine) action();
    }

    private static T? RunIf<T>(bool mine, Func<T> function)
    {
        ArgumentNullException.ThrowIfNull(function);
        return mine ? function() : default;
    }

    /// <summary>The first ones meet the others at the end of their block, the others meet them before theirs.</summary>
    private sealed class FirstScope : IDisposable
    {
        private readonly PartialState _state;
        private bool _barrierAtEnd;

        public FirstScope(PartialState state, bool first)
        {
            _state = state;
            _barrierAtEnd = first;
            if (!first) state.WaitForEveryone();
        }

        public void Dispose()
        {
            if (!_barrierAtEnd) return;
            _barrierAtEnd = false;
            _state.WaitForEveryone();
        }
    }
}
