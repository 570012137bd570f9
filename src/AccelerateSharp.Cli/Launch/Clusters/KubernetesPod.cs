using AccelerateSharp.Launch;

namespace AccelerateSharp.Cli.Launch.Clusters;

/// <summary>A pod of an indexed job: it knows its index, and its name in the network where a headless service gives it one.</summary>
/// <param name="FirstPod">The name of the pod with index 0; null where the pods have no names in the network.</param>
internal sealed record KubernetesPod(string? FirstPod)
{
    /// <summary>The variable that Kubernetes sets in the pods of an indexed job.</summary>
    public const string IndexName = "JOB_COMPLETION_INDEX";

    /// <summary>This pod; null outside of an indexed job.</summary>
    /// <param name="environment">The environment.</param>
    /// <param name="hostsFile">Where Kubernetes writes the pod's own name.</param>
    public static KubernetesPod? Detect(EnvironmentReader environment, string hostsFile = "/etc/hosts")
    {
        if (environment.FirstNumber(IndexName) is not { } index || environment.Text("HOSTNAME") is not { } host) return null;
        var suffix = $"-{index.Value}";
        if (!host.EndsWith(suffix, StringComparison.Ordinal) || !File.Exists(hostsFile)) return new KubernetesPod(FirstPod: null);
        // "10.1.2.3  train-1.train.default.svc.cluster.local  train-1", only where the pods have a subdomain.
        var name = File.ReadLines(hostsFile).SelectMany(line => line.Split('#')[0].Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries).Skip(1))
            .FirstOrDefault(name => name.StartsWith(host + ".", StringComparison.Ordinal));
        return new KubernetesPod(name is null ? null : $"{host[..^suffix.Length]}-0{name[host.Length..]}");
    }
}
