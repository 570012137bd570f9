namespace AccelerateSharp.Safetensors;

/// <summary>A file that is not what the safetensors format allows; the message names the file and what is wrong with it.</summary>
internal sealed class SafetensorsException(string message, Exception? innerException = null) : IOException(message, innerException);
