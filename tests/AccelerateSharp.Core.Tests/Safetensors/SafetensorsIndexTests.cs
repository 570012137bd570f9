using System.Text;
using AccelerateSharp.Safetensors;

namespace AccelerateSharp.Core.Tests.Safetensors;

public sealed class SafetensorsIndexTests
{
    [Fact]
    public void Only_what_the_index_names_counts()
    {
        var index = Parse("""{"metadata":{"total_size":24},"weight_map":{"a":"x.safetensors"}}""");
        Assert.Equal(["x.safetensors"], index.Files);
        var file = SafetensorsBytes.File(SafetensorsBytes.TwoTensors, 32);
        var headers = new Dictionary<string, SafetensorsHeader> { ["x.safetensors"] = SafetensorsHeader.Parse(file, file.Length, "x") };
        Assert.Equal(["a"], index.Combine(headers, "index").Select(tensor => tensor.Name));
        var error = Assert.Throws<SafetensorsException>(() => Parse("""{"weight_map":{"a":"x.safetensors","z":"x.safetensors"}}""").Combine(headers, "index"));
        Assert.Contains("tensor 'z' should be in x.safetensors", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"weight_map":{"a":"../../secret"}}""")]
    [InlineData("""{"weight_map":{"a":"/etc/passwd"}}""")]
    [InlineData("""{"weight_map":{"a":".."}}""")]
    [InlineData("""{"weight_map":{"a":7}}""")]
    [InlineData("""{"weight_map":{"a":"x","a":"y"}}""")]
    [InlineData("""{"weight_map":{}}""")]
    [InlineData("""{"weight_map":[]}""")]
    [InlineData("""[]""")]
    [InlineData("""{"weight_map":""")]
    public void What_makes_no_sense_is_refused(string json) => Assert.Throws<SafetensorsException>(() => Parse(json));

    private static SafetensorsIndex Parse(string json) => SafetensorsIndex.Parse(Encoding.UTF8.GetBytes(json), "index");
}
