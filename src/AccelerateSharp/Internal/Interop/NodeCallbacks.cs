using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using static AccelerateSharp.Internal.Interop.AutogradNative;
using static TorchSharp.torch;

namespace AccelerateSharp.Internal.Interop;

/// <summary>The managed half of one native node: its two C function pointers and what they lead to.</summary>
/// <remarks>
/// The native callbacks carry no user data, so each live node needs function pointers of its own. They are pooled and never freed:
/// making a pair costs microseconds and executable memory, and one that was freed inside its own "deleted" callback would pull the
/// code away from under the return. Their number is the largest number of nodes that ever lived at once.
/// </remarks>
internal sealed unsafe class NodeCallbacks
{
    private static readonly ConcurrentBag<NodeCallbacks> _pool = [];

    /// <summary>Native code is no root: what is rented must stay reachable too.</summary>
    private static readonly ConcurrentBag<NodeCallbacks> _all = [];
    private static int _live;

    /// <summary>What the previous callback on this thread returned: the engine has read it by the time of the next one.</summary>
    [ThreadStatic]
    private static PassedOnGradients? _previous;

    private readonly ApplyFunction _apply;
    private readonly DeletedFunction _deleted;
    private Action<GradientSlots>? _onGradients;
    private BackwardErrors? _errors;
    private IDisposable? _saved;
    private PassedOnGradients? _passedOn;
    private nint* _nothing;
    private int _capacity;
    private int _inputs;

    private NodeCallbacks()
    {
        _apply = Apply;
        _deleted = Deleted;
        ApplyPointer = Marshal.GetFunctionPointerForDelegate(_apply);
        DeletedPointer = Marshal.GetFunctionPointerForDelegate(_deleted);
        _all.Add(this);
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate TensorArray ApplyFunction(nint* gradients, int count);

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    private delegate void DeletedFunction();

    /// <summary>The number of native nodes that exist now.</summary>
    internal static int Live => Volatile.Read(ref _live);

    internal nint ApplyPointer { get; }

    internal nint DeletedPointer { get; }

    /// <summary>From here until the native node dies, which gives the pair back to the pool.</summary>
    internal static NodeCallbacks Rent(int inputs, Action<GradientSlots> onGradients, BackwardErrors errors, IDisposable? saved = null)
    {
        if (!_pool.TryTake(out var callbacks)) callbacks = new NodeCallbacks();
        if (callbacks._capacity < inputs)
        {
            callbacks._nothing = (nint*)NativeMemory.Realloc(callbacks._nothing, (nuint)inputs * (nuint)sizeof(nint));
            new Span<nint>(callbacks._nothing, inputs).Clear();
            callbacks._capacity = inputs;
        }
        callbacks._inputs = inputs;
        callbacks._onGradients = onGradients;
        callbacks._errors = errors;
        callbacks._saved = saved;
        Interlocked.Increment(ref _live);
        return callbacks;
    }

    /// <summary>Runs on whatever thread drops the last reference to the native node, a finalizer's included.</summary>
    internal void Deleted()
    {
        _onGradients = null;
        _errors = null;
        Interlocked.Exchange(ref _saved, null)?.Dispose();
        Interlocked.Exchange(ref _passedOn, null)?.Release();
        Interlocked.Decrement(ref _live);
        _pool.Add(this);
    }

    /// <summary>All gradients are there. Takes ownership of the handles and returns as many gradients as the node has inputs.</summary>
    private TensorArray Apply(nint* gradients, int count)
    {
        _previous?.Release();
        _previous = null;
        var errors = _errors!;
        try
        {
            using var scope = NewDisposeScope();
            var tensors = new Tensor?[count];
            for (var i = 0; i < count; i++)
                if (gradients[i] != 0) tensors[i] = Tensor.UnsafeCreateTensor(gradients[i]);
            if (errors.IsPending) return Nothing();
            var slots = new GradientSlots(tensors, _inputs);
            PassedOnGradients? passedOn = null;
            try
            {
                _onGradients!(slots);
            }
            finally
            {
                // Also on the way of an exception: what was passed on is owned here from now on.
                if (slots.TakePassedOn() is { } handles) Interlocked.Exchange(ref _passedOn, passedOn = new PassedOnGradients(handles))?.Release();
            }
            if (passedOn is null) return Nothing();
            _previous = passedOn;
            return passedOn.AsArray();
        }
#pragma warning disable CA1031 // Nothing managed may unwind into libtorch; BackwardErrors throws it again.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            errors.Record(exception);
            return Nothing();
        }
    }

    private TensorArray Nothing() => new(_nothing, _inputs);

    /// <summary>Handles that were returned to the engine; it copies them after the return, so they are given back later, once.</summary>
    private sealed class PassedOnGradients
    {
        private readonly int _count;
        private nint _handles;

        internal PassedOnGradients(nint[] handles)
        {
            _count = handles.Length;
            _handles = (nint)NativeMemory.Alloc((nuint)_count * (nuint)sizeof(nint));
            handles.CopyTo(new Span<nint>((void*)_handles, _count));
        }

        internal TensorArray AsArray() => new((nint*)_handles, _count);

        internal void Release()
        {
            var handles = (nint*)Interlocked.Exchange(ref _handles, 0);
            if (handles is null) return;
            for (var i = 0; i < _count; i++) TensorHandles.Release(handles[i]);
            NativeMemory.Free(handles);
        }
    }
}
