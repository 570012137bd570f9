namespace AccelerateSharp.BigModel;

/// <summary>What the index of an offload folder says of a tensor.</summary>
/// <param name="Dtype">The dtype of the values, as <see cref="OffloadDtypes"/> names it.</param>
/// <param name="Shape">Its extents; null where only the safetensors file tells them.</param>
/// <param name="SafetensorsFile">The file that holds it; null where it is a <c>.dat</c> file of the folder.</param>
/// <param name="WeightName">Its name in that file.</param>
internal sealed record OffloadEntry(string Dtype, long[]? Shape, string? SafetensorsFile = null, string? WeightName = null);
