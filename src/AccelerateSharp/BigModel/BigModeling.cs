using AccelerateSharp.BigModel;
using TorchSharp;
using static TorchSharp.torch;
using Module = TorchSharp.torch.nn.Module;

namespace AccelerateSharp;

/// <summary>Models that are larger than a GPU, or than memory: constructed without weights, spread over devices, computed block by block.</summary>
/// <remarks>
/// What is spread or offloaded is for inference, and for one forward pass at a time: the weights of the block that computes are put
/// into the modules themselves. For several threads, load the model several times, or take turns.
/// </remarks>
public static partial class BigModeling
{
    /// <summary>Constructs a model whose parameters have shapes and dtypes but neither values nor memory: they are on the meta device.</summary>
    /// <remarks>
    /// The constructor runs as always, on the CPU, but fills no parameter with random numbers (<c>uniform_</c> and <c>normal_</c>, and
    /// with them TorchSharp's modules and most of <c>nn.init</c>), so that their memory is never touched. Tied parameters stay tied.
    /// Modules that compute in native code with parameters of their own, such as LSTM, cannot be on the meta device; theirs stand on a
    /// single element.
    /// </remarks>
    /// <param name="build">Constructs the model.</param>
    /// <param name="includeBuffers">
    /// Whether buffers lose their values too. By default they do not, as constructors compute some that no checkpoint holds; the variable
    /// <c>ACCELERATE_INIT_INCLUDE_BUFFERS</c> is read where nothing is said.
    /// </param>
    public static T InitEmptyWeights<T>(Func<T> build, bool? includeBuffers = null) where T : Module => InitOnDevice(META, build, includeBuffers);

    /// <summary>Constructs a model whose parameters are on a device.</summary>
    /// <param name="device">The device; on meta, this is <see cref="InitEmptyWeights"/>.</param>
    /// <param name="build">Constructs the model.</param>
    /// <param name="includeBuffers">
    /// Whether buffers are on the device too, and everything is made there at once (<c>torch.set_default_device</c>). Otherwise parameters
    /// are made on the CPU and moved.
    /// </param>
    public static T InitOnDevice<T>(Device device, Func<T> build, bool? includeBuffers = null) where T : Module
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(build);
        var withBuffers = EmptyInitialization.IncludesBuffers(includeBuffers);
        return device.type == DeviceType.META ? EmptyInitialization.OnMeta(build, withBuffers) : EmptyInitialization.OnDevice(device, build, withBuffers);
    }
}
