namespace AccelerateSharp.Parallel.Swap;

/// <summary>Where and how values live in a file instead of in memory.</summary>
/// <param name="Folder">The folder of the file.</param>
/// <param name="Setting">The setting that named the folder, for errors.</param>
/// <param name="BlockSize">Bytes of one request to the disk.</param>
/// <param name="Parallelism">Requests at once.</param>
/// <param name="BufferCount">Buffers in memory, 2 at least: while one is computed with, others are read and written.</param>
/// <param name="BufferElements">Elements of one tensor in a buffer.</param>
/// <param name="KeptElements">Elements that stay in memory all the same.</param>
internal sealed record SwapSettings(string Folder, string Setting, int BlockSize, int Parallelism, int BufferCount, long BufferElements, long KeptElements = 0);
