using AccelerateSharp.Files;

namespace AccelerateSharp.Core.Tests.Files;

public sealed class AtomicFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("accelerate tests ").FullName;

    [Fact]
    public void A_failure_in_the_middle_leaves_what_was_there_and_nothing_else()
    {
        var path = Path.Combine(_folder, "file");
        AtomicFile.Write(path, "before");
        Assert.Throws<IOException>(() => AtomicFile.Write(path, file =>
        {
            RandomAccess.Write(file, "half"u8, fileOffset: 0);
            throw new IOException("no space left");
        }));
        Assert.Equal("before", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(_folder));
        AtomicFile.Write(path, "after");
        Assert.Equal("after", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFileSystemEntries(_folder));
    }

    [Fact]
    public void A_link_stays_a_link()
    {
        var (path, link) = (Path.Combine(_folder, "file"), Path.Combine(_folder, "link"));
        File.WriteAllText(path, "before");
        File.CreateSymbolicLink(link, "file");
        AtomicFile.Write(link, "after");
        Assert.Equal("after", File.ReadAllText(path));
        Assert.Equal("file", new FileInfo(link).LinkTarget);
        Assert.Equal(2, Directory.GetFileSystemEntries(_folder).Length);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
