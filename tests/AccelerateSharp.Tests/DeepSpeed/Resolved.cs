using System.Text.Json.Nodes;
using AccelerateSharp.Launch;
using AccelerateSharp.Parallel.DeepSpeed;

namespace AccelerateSharp.Tests.DeepSpeed;

/// <summary>Resolves plugins without an accelerator.</summary>
internal static class Resolved
{
    public static DeepSpeedPlugin From(
        string config, string environment = "", MixedPrecision? precision = null, MixedPrecision? environmentPrecision = null, int? accumulation = null, int worldSize = 1) =>
        From(new DeepSpeedPlugin { Config = (JsonObject)JsonNode.Parse(config)! }, environment, precision, environmentPrecision, accumulation, worldSize);

    public static DeepSpeedPlugin From(
        DeepSpeedPlugin plugin, string environment = "", MixedPrecision? precision = null, MixedPrecision? environmentPrecision = null, int? accumulation = null, int worldSize = 1)
    {
        var variables = environment.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(pair => pair.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]);
        return plugin.Resolve(new EnvironmentReader(name => variables.GetValueOrDefault(name)), new DeepSpeedRequest(precision, environmentPrecision, accumulation, worldSize));
    }

    public static string Error(Func<DeepSpeedPlugin> resolve) => Assert.Throws<ArgumentException>(() => resolve()).Message;
}
