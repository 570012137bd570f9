using static TorchSharp.torch;

namespace AccelerateSharp.BigModel;

/// <summary>How a checkpoint is loaded.</summary>
/// <param name="OffloadFolder">Where weights on disk are noted, or written.</param>
/// <param name="Dtype">What floating-point tensors become; null leaves them as the model has them.</param>
/// <param name="OffloadBuffers">Whether buffers of modules on disk are on disk too.</param>
/// <param name="KeepInFp32">Parts of names whose tensors stay float32 where the rest becomes float16.</param>
/// <param name="Strict">Whether tensors that are missing or unexpected are an error.</param>
internal sealed record LoadOptions(string? OffloadFolder, ScalarType? Dtype, bool OffloadBuffers, IReadOnlyCollection<string> KeepInFp32, bool Strict);
