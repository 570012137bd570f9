using System.Reflection;
using TorchSharp.Modules;

namespace AccelerateSharp.Data;

/// <summary>Prepares every kind of loader for the ranks of a job; the user's variable keeps its type.</summary>
internal static class LoaderPreparation
{
    private static readonly MethodInfo[] _methods = typeof(LoaderPreparation).GetMethods(BindingFlags.Static | BindingFlags.Public);

    /// <summary>Prepares TorchSharp's loader in place and returns it; a second time changes nothing.</summary>
    public static DataLoader<T, S> Prepare<T, S>(DataLoader<T, S> loader, LoaderBinding binding) =>
        TorchLoaders.PreparedLoader.Prepare(loader, binding);

    /// <summary>A loader over the same source that yields this rank's share; a prepared one comes back as it is.</summary>
    public static BatchLoader<TBatch> Prepare<TBatch>(BatchLoader<TBatch> loader, LoaderBinding binding) =>
        loader.IsPrepared ? loader : loader.Bind(binding);

    /// <summary>This rank's share of a sequence of batches.</summary>
    public static IEnumerable<TBatch> Prepare<TBatch>(IEnumerable<TBatch> batches, LoaderBinding binding) => batches switch
    {
        BatchLoader<TBatch> loader => Prepare(loader, binding),
        _ => BatchLoader.FromBatches(batches).Bind(binding),
    };

    /// <summary>This rank's share of an asynchronous sequence of batches.</summary>
    public static IAsyncEnumerable<TBatch> Prepare<TBatch>(IAsyncEnumerable<TBatch> batches, LoaderBinding binding) => batches switch
    {
        AsyncLoader<TBatch> prepared => prepared,
        _ => new AsyncLoader<TBatch>(BatchLoader.FromAsync(batches).Bind(binding)),
    };

    /// <summary>Whether <see cref="PrepareAny"/> can prepare <paramref name="value"/>.</summary>
    public static bool IsLoader<TLoader>(TLoader value) => value is not null && FindPreparation(value.GetType(), typeof(TLoader)) is not null;

    /// <summary>Prepares whatever kind of loader it is.</summary>
    /// <exception cref="ArgumentException">It is none, or the variable's type does not admit a prepared loader.</exception>
    public static TLoader PrepareAny<TLoader>(TLoader loader, LoaderBinding binding)
    {
        ArgumentNullException.ThrowIfNull(loader);
        var preparation = FindPreparation(loader.GetType(), typeof(TLoader)) ?? throw Unsuited<TLoader>(loader);
        return preparation.Invoke(null, BindingFlags.DoNotWrapExceptions, null, [loader, binding], null) is TLoader prepared
            ? prepared
            : throw Unsuited<TLoader>(loader);
    }

    /// <summary>A loader of the same kind whose next epoch starts after the first <paramref name="batches"/> batches of this rank.</summary>
    public static TLoader SkipFirst<TLoader>(TLoader loader, long batches)
    {
        ArgumentNullException.ThrowIfNull(loader);
        ArgumentOutOfRangeException.ThrowIfNegative(batches);
        object? skipped;
        if (loader is ILoaderView view)
        {
            skipped = view.Skip(batches);
        }
        else if (TorchLoaderBase(loader.GetType()) is { } torchLoader)
        {
            skipped = Method(nameof(SkipTorch), torchLoader.GetGenericArguments())
                .Invoke(null, BindingFlags.DoNotWrapExceptions, null, [loader, batches], null);
        }
        else
        {
            var element = Argument(loader.GetType(), typeof(TLoader), typeof(IEnumerable<>))
                ?? Argument(loader.GetType(), typeof(TLoader), typeof(IAsyncEnumerable<>)) ?? throw Unsuited<TLoader>(loader);
            skipped = Method(nameof(SkipStream), [element]).Invoke(null, BindingFlags.DoNotWrapExceptions, null, [loader, batches], null);
        }
        return skipped is TLoader same ? same : throw Unsuited<TLoader>(loader);
    }

    /// <summary>Makes the next loop over a prepared loader (or any <see cref="BatchLoader{TBatch}"/>) epoch number <paramref name="epoch"/>.</summary>
    public static void SetEpoch(object loader, long epoch)
    {
        if (loader is ILoaderView view) view.SetEpoch(epoch);
        else if (TorchLoaderBase(loader.GetType()) is { } torchLoader)
            Method(nameof(SetTorchEpoch), torchLoader.GetGenericArguments()).Invoke(null, [loader, epoch]);
    }

    /// <summary>What a prepared loader was bound to; null for anything else.</summary>
    public static LoaderBinding? BindingOf(object loader) => loader switch
    {
        ILoaderView view => view.Binding,
        _ when TorchLoaderBase(loader.GetType()) is { } torchLoader =>
            (LoaderBinding?)Method(nameof(TorchBinding), torchLoader.GetGenericArguments()).Invoke(null, [loader]),
        _ => null,
    };

    /// <summary>Samples in a batch of a loader that is not prepared yet; null where nobody knows.</summary>
    public static int? BatchSizeOf(object loader) => loader switch
    {
        ILoaderView view => view.BatchSize,
        _ when TorchLoaderBase(loader.GetType()) is { } torchLoader => (int)Method(nameof(TorchBatchSize), torchLoader.GetGenericArguments()).Invoke(null, [loader])!,
        _ => null,
    };

    public static int TorchBatchSize<T, S>(DataLoader<T, S> loader) => loader.batch_size;

    public static DataLoader<T, S> SkipTorch<T, S>(DataLoader<T, S> loader, long batches) => TorchLoaders.PreparedLoader.SkipFirst(loader, batches);

    public static void SetTorchEpoch<T, S>(DataLoader<T, S> loader, long epoch) => (loader.sampler as TorchLoaders.PreparedSampler)?.Epochs.Set(epoch);

    public static LoaderBinding? TorchBinding<T, S>(DataLoader<T, S> loader) => TorchLoaders.PreparedLoader.BindingOf(loader);

    public static object SkipStream<TBatch>(object loader, long batches) => loader is IEnumerable<TBatch> sequence
        ? BatchLoader.FromBatches(sequence).SkipFirst(batches)
        : new AsyncLoader<TBatch>(BatchLoader.FromAsync((IAsyncEnumerable<TBatch>)loader).SkipFirst(batches));

    private static MethodInfo? FindPreparation(Type type, Type declared)
    {
        if (TorchLoaderBase(type) is { } torchLoader) return Preparation(typeof(DataLoader<,>), torchLoader.GetGenericArguments());
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(BatchLoader<>))
            return Preparation(typeof(BatchLoader<>), type.GetGenericArguments());
        if (Argument(type, declared, typeof(IAsyncEnumerable<>)) is { } asyncElement) return Preparation(typeof(IAsyncEnumerable<>), [asyncElement]);
        // Strings, tensors' lists of numbers and the like are sequences too, but nobody's loader.
        return Argument(type, declared, typeof(IEnumerable<>)) is { } element && Trees.TreeTypes.MayHoldTensors(element)
            ? Preparation(typeof(IEnumerable<>), [element])
            : null;
    }

    private static MethodInfo Preparation(Type loader, Type[] arguments) => _methods
        .Single(method => method.Name == nameof(Prepare) && method.GetParameters()[0].ParameterType.GetGenericTypeDefinition() == loader)
        .MakeGenericMethod(arguments);

    private static MethodInfo Method(string name, Type[] arguments) => _methods.Single(method => method.Name == name).MakeGenericMethod(arguments);

    private static Type? TorchLoaderBase(Type? type)
    {
        while (type is not null && !(type.IsGenericType && type.GetGenericTypeDefinition() == typeof(DataLoader<,>))) type = type.BaseType;
        return type;
    }

    /// <summary>What the sequence yields: as the variable says, else as the value's type says.</summary>
    private static Type? Argument(Type type, Type declared, Type definition) =>
        new[] { declared, type }.SelectMany(candidate => candidate.GetInterfaces().Prepend(candidate))
            .FirstOrDefault(candidate => candidate.IsGenericType && candidate.GetGenericTypeDefinition() == definition)?.GetGenericArguments()[0];

    private static ArgumentException Unsuited<TLoader>(object loader) => new(
        $"A {loader.GetType().Name} in a variable of type {typeof(TLoader).Name} cannot be prepared as a data loader. "
        + "Use TorchSharp's DataLoader, a BatchLoader, or declare the variable as IEnumerable<…> or IAsyncEnumerable<…> of batches.",
        nameof(loader));
}
