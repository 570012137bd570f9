using AccelerateSharp.Configuration;
using CsCheck;

namespace AccelerateSharp.Core.Tests.Configuration;

public sealed class ConfigWriterTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory();

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void Yaml_as_the_reference_emits_it()
    {
        var values = new ClusterConfig(new ConfigSection
        {
            ["distributed_type"] = "MULTI_GPU",
            ["gpu_ids"] = "all",
            ["mixed_precision"] = "bf16",
            ["num_processes"] = 2,
            ["same_network"] = true,
            ["fsdp_config"] = new ConfigSection(),
        }).WithDefaults().Values;
        Assert.Equal("""
            compute_environment: LOCAL_MACHINE
            debug: false
            distributed_type: MULTI_GPU
            downcast_bf16: 'no'
            enable_cpu_affinity: false
            gpu_ids: all
            machine_rank: 0
            main_training_function: main
            mixed_precision: bf16
            num_machines: 1
            num_processes: 2
            rdzv_backend: static
            same_network: true
            tpu_env: []
            tpu_use_cluster: false
            tpu_use_sudo: false
            use_cpu: false

            """, ConfigWriter.ToYaml(values));
    }

    [Theory]
    [InlineData("no", "'no'")]
    [InlineData("NO", "'NO'")]
    [InlineData("", "''")]
    [InlineData("null", "'null'")]
    [InlineData("8", "'8'")]
    [InlineData("0,1", "0,1")]
    [InlineData("1e8", "'1e8'")]
    [InlineData("010", "'010'")]
    [InlineData("12:30", "'12:30'")]
    [InlineData("2026-01-02", "'2026-01-02'")]
    [InlineData("10.0.0.1", "10.0.0.1")]
    [InlineData("~/hostfile", "~/hostfile")]
    [InlineData("foo.*", "foo.*")]
    [InlineData("*.foo", "'*.foo'")]
    [InlineData("it's: here", "'it''s: here'")]
    [InlineData("a b", "a b")]
    [InlineData("a ", "'a '")]
    [InlineData("a #b", "'a #b'")]
    [InlineData("a *", "'a *'")]
    [InlineData("a\nb", "\"a\\u000Ab\"")]
    public void Text_is_quoted_where_it_would_be_taken_for_something_else(string text, string expected) => Assert.Equal(expected, YamlText.Of(text));

    [Fact]
    public void Whatever_is_written_reads_back()
    {
        var letters = Gen.Frequency<char>((8, Gen.Char[' ', '~']), (1, Gen.Char['\0', '\u02ff']), (1, Gen.Char['\u2020', '\u2030'])).Array[0, 12].Select(text => new string(text));
        var tricky = Gen.OneOf("no", "Yes", "~", "null", "1_0", "0x1f", "1:2", ".5", "+.inf", "- a", "a: b", "#", "key:", "---", "...", "<<", "=", "\ufeff", "\u0085", "'", "\"");
        var text = Gen.OneOf<string>(letters, tricky);
        var scalar = Gen.OneOf<ConfigValue>(
            text.Select(value => (ConfigValue)value), Gen.Int.Select(value => (ConfigValue)value), Gen.Bool.Select(value => (ConfigValue)value),
            Gen.Double[-1e20, 1e20].Select(value => (ConfigValue)value));
        var list = scalar.Array[0, 4].Select(items => (ConfigValue)new ConfigList(items));
        var nested = Gen.Select(scalar, list, (item, items) => (ConfigValue)new ConfigList([item, items]));
        var section = Gen.Select(text, Gen.OneOf<ConfigValue>(scalar, list, nested)).Array[1, 5].Select(values => (ConfigValue)Section(values));
        Gen.Select(text, Gen.OneOf<ConfigValue>(scalar, list, section)).Array[1, 8].Select(Section).Sample(expected =>
        {
            Assert.Equal((ConfigValue)expected, ConfigBinder.Untyped(YamlSyntax.Parse(ConfigWriter.ToYaml(expected))!));
            Assert.Equal((ConfigValue)expected, ConfigBinder.Untyped(JsonSyntax.Parse(ConfigWriter.ToJson(expected))!));
        }, iter: 2000);
    }

    [Fact]
    public void A_configuration_that_is_saved_is_understood_again_in_either_format()
    {
        var types = Gen.OneOf("NO", "MULTI_CPU", "MULTI_GPU", "FSDP", "DEEPSPEED");
        Gen.Select(types, Gen.OneOf(ConfigKeys.Precisions), Gen.Int[1, 8], Gen.Int[1, 4], Gen.Bool).Sample((type, precision, each, machines, debug) =>
        {
            var isAlone = type == "NO";
            var values = new ClusterConfig(new ConfigSection
            {
                ["distributed_type"] = type,
                ["mixed_precision"] = precision,
                ["num_processes"] = isAlone ? 1 : each * machines,
                ["num_machines"] = isAlone ? 1 : machines,
                ["debug"] = debug,
            }).WithDefaults().Values;
            foreach (var (name, text) in new[] { ("a.yaml", ConfigWriter.ToYaml(values)), ("a.json", ConfigWriter.ToJson(values)) })
            {
                var file = ConfigFile.Parse(name, text);
                Assert.Empty(file.Errors);
                Assert.Equal((ConfigValue)values, file.Config.Values);
            }
        }, iter: 200);
    }

    [Fact]
    public void A_file_is_there_whole_or_not_at_all()
    {
        var path = Path.Combine(_folder.FullName, "new", "config.yaml");
        ConfigWriter.Save(path, new ConfigSection { ["debug"] = true });
        ConfigWriter.Save(path, new ConfigSection { ["debug"] = false });
        Assert.Equal("debug: false\n", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(Path.GetDirectoryName(path)!));

        var link = Path.Combine(_folder.FullName, "link.yaml");
        File.CreateSymbolicLink(link, path);
        ConfigWriter.Save(link, new ConfigSection { ["debug"] = true });
        Assert.Equal("debug: true\n", File.ReadAllText(path));
        Assert.NotNull(new FileInfo(link).LinkTarget);

        // A folder is in the way of the renaming: nothing is left beside it.
        var blocked = Directory.CreateDirectory(Path.Combine(_folder.FullName, "blocked")).FullName;
        File.WriteAllText(Path.Combine(blocked, "inside"), "");
        Assert.ThrowsAny<IOException>(() => ConfigWriter.Save(blocked, new ConfigSection { ["debug"] = true }));
        Assert.Empty(Directory.GetFiles(_folder.FullName, "*.tmp"));
    }

    [Fact]
    public void The_suffix_chooses_json()
    {
        var path = Path.Combine(_folder.FullName, "config.json");
        ConfigWriter.Save(path, new ConfigSection { ["num_processes"] = 2, ["debug"] = true, ["fp8_config"] = new ConfigSection() });
        Assert.Equal("{\n  \"debug\": true,\n  \"num_processes\": 2\n}\n", File.ReadAllText(path));
    }

    private static ConfigSection Section((string Key, ConfigValue Value)[] values)
    {
        var section = new ConfigSection();
        foreach (var (key, value) in values) section[key] = value;
        return section;
    }
}
