using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace AccelerateSharp.Parallel.Swap;

/// <summary>A file for what does not fit into memory: read and written in blocks, several at once, past the system's page cache.</summary>
/// <remarks>
/// It has no name from the moment it is open: whatever happens to the process, the system gives its space back. Positions, lengths
/// and addresses are multiples of <see cref="Alignment"/>, which direct access asks for. Where a file system refuses that, the file
/// goes through the page cache.
/// </remarks>
internal sealed unsafe partial class SwapFile : IDisposable
{
    public const int Alignment = 4096;

    private const int ReadWriteCreateExclusive = 0x2 | 0x40 | 0x80;
    private const int CloseOnExec = 0x80000;
    private const int InvalidArgument = 22;

    private readonly SafeFileHandle _file;
    private readonly SwapSettings _settings;

    private SwapFile(SafeFileHandle file, SwapSettings settings) => (_file, _settings) = (file, settings);

    /// <summary>Bytes of the file.</summary>
    public long Length { get; private set; }

    /// <summary>The open file, for tests.</summary>
    internal SafeFileHandle Handle => _file;

    /// <summary>O_DIRECT has not one value on all processors.</summary>
    private static int Direct => RuntimeInformation.ProcessArchitecture is Architecture.Arm64 or Architecture.Arm ? 0x10000 : 0x4000;

    /// <summary>Makes the file in the settings' folder.</summary>
    /// <exception cref="IOException">The folder does not exist, or nothing can be written there.</exception>
    public static SwapFile Create(SwapSettings settings, int rank)
    {
        if (!Directory.Exists(settings.Folder))
            throw new DirectoryNotFoundException($"Rank {rank}: {settings.Setting} is '{settings.Folder}', which is no folder. Make it, or name another one on a fast disk.");
        var path = Path.Combine(settings.Folder, $".accelerate-{Environment.ProcessId}-{Guid.NewGuid():N}.swap");
        var descriptor = Open(path, ReadWriteCreateExclusive | CloseOnExec | Direct, Convert.ToUInt32("600", 8));
        if (descriptor < 0 && Marshal.GetLastPInvokeError() == InvalidArgument)
        {
            // Refused after the file was made, as tmpfs does.
            File.Delete(path);
            descriptor = Open(path, ReadWriteCreateExclusive | CloseOnExec, Convert.ToUInt32("600", 8));
        }

        if (descriptor < 0)
            throw new IOException($"Rank {rank}: no file can be made in '{settings.Folder}' ({settings.Setting}): {Marshal.GetLastPInvokeErrorMessage()}. Name a folder that this process may write to.");
        var file = new SafeFileHandle(descriptor, ownsHandle: true);
        File.Delete(path);
        return new SwapFile(file, settings);
    }

    /// <summary>A file that is open already, for tests.</summary>
    internal static SwapFile Over(SafeFileHandle file, SwapSettings settings) => new(file, settings);

    /// <summary>Makes room for bytes.</summary>
    /// <returns>Where they begin.</returns>
    public long Reserve(long bytes)
    {
        var position = Length;
        Length += RoundUp(bytes);
        return position;
    }

    /// <summary>Starts to read. The memory must stay, and be left alone, until the task is done.</summary>
    public Task ReadAsync(long position, nint address, long bytes) => Run(position, address, bytes, (at, memory, length) =>
    {
        while (length > 0)
        {
            var read = RandomAccess.Read(_file, new Span<byte>((void*)memory, length), at);
            if (read == 0)
                throw new EndOfStreamException($"The file of {_settings.Setting} ({_settings.Folder}) has lost its end: nothing is left at byte {at} of {Length}. Something else has changed it; keep other programs out of the folder.");
            (at, memory, length) = (at + read, memory + read, length - read);
        }
    });

    /// <summary>Starts to write. The memory must stay as it is until the task is done.</summary>
    public Task WriteAsync(long position, nint address, long bytes) => Run(position, address, bytes, (at, memory, length) =>
    {
        try
        {
            RandomAccess.Write(_file, new ReadOnlySpan<byte>((void*)memory, length), at);
        }
        catch (IOException exception)
        {
            throw new IOException($"Writing to the file of {_settings.Setting} ({_settings.Folder}) failed: {exception.Message} It holds {Length} bytes for this process; is the disk full?", exception);
        }
    });

    public void Dispose() => _file.Dispose();

    public static long RoundUp(long bytes) => (bytes + Alignment - 1) / Alignment * Alignment;

    private Task Run(long position, nint address, long bytes, Action<long, nint, int> block)
    {
        var length = RoundUp(bytes);
        var size = Math.Max(Alignment, _settings.BlockSize / Alignment * Alignment);
        var count = (int)((length + size - 1) / size);
        return Task.Run(() =>
        {
            try
            {
                System.Threading.Tasks.Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = _settings.Parallelism }, i =>
                {
                    var start = (long)i * size;
                    block(position + start, address + (nint)start, (int)Math.Min(size, length - start));
                });
            }
            catch (AggregateException exception)
            {
                System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(exception.InnerExceptions[0]);
            }
        });
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags, uint mode);
}
