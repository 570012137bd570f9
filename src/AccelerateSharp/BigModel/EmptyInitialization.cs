using AccelerateSharp.Internal.Interop;
using AccelerateSharp.Parallel;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp.BigModel;

/// <summary>Constructs models whose weights come later, or lie on another device from the start.</summary>
internal static class EmptyInitialization
{
    private const string IncludeBuffersVariable = "ACCELERATE_INIT_INCLUDE_BUFFERS";

    public static T OnMeta<T>(Func<T> build, bool includeBuffers) where T : Module
    {
        T model;
        using (InitializationSkip.Enter()) model = build();
        InitializationSkip.ThrowIfFailed();
        foreach (var tensor in ModelTensors.Of(model).Where(tensor => tensor.IsParameter || includeBuffers)) tensor.Empty();
        return model;
    }

    public static T OnDevice<T>(Device device, Func<T> build, bool includeBuffers) where T : Module
    {
        var former = get_default_device();
        T model;
        if (includeBuffers) set_default_device(device);
        try
        {
            model = build();
        }
        finally
        {
            set_default_device(former);
        }
        if (includeBuffers)
        {
            // Also what was made on an explicit device.
            ModelPlacement.MoveTo(model, device);
            return model;
        }
        foreach (var tensor in ModelTensors.Of(model).Where(tensor => tensor.IsParameter))
        {
            using var moved = tensor.Value.detach().to(device);
            tensor.Put(moved);
        }
        return model;
    }

    public static bool IncludesBuffers(bool? asked) => asked ?? Environment.GetEnvironmentVariable(IncludeBuffersVariable)?.ToUpperInvariant() is "1" or "TRUE" or "YES" or "Y" or "T" or "ON";
}
