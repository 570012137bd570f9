using System.Collections.Immutable;
using System.Globalization;
using System.Text;

namespace AccelerateSharp.Cli.Launch.Affinity;

/// <summary>Logical CPUs, by the numbers that the kernel gives them.</summary>
internal sealed class CpuSet(IEnumerable<int> cpus)
{
    /// <summary>The CPUs, in rising order.</summary>
    public ImmutableSortedSet<int> Cpus { get; } = [.. cpus];

    public bool IsEmpty => Cpus.IsEmpty;

    /// <summary>Reads the kernel's form, such as <c>0-3,8,10-11</c>.</summary>
    public static CpuSet Parse(string list)
    {
        var cpus = new List<int>();
        foreach (var range in list.Trim().Split(',', StringSplitOptions.RemoveEmptyEntries))
        {
            var ends = range.Split('-');
            var (first, last) = (int.Parse(ends[0], CultureInfo.InvariantCulture), int.Parse(ends[^1], CultureInfo.InvariantCulture));
            cpus.AddRange(Enumerable.Range(first, last - first + 1));
        }
        return new CpuSet(cpus);
    }

    public CpuSet And(CpuSet other) => new(Cpus.Intersect(other.Cpus));

    public override string ToString()
    {
        var text = new StringBuilder();
        for (var i = 0; i < Cpus.Count;)
        {
            var last = i;
            while (last + 1 < Cpus.Count && Cpus[last + 1] == Cpus[last] + 1) last++;
            if (text.Length > 0) text.Append(',');
            text.Append(CultureInfo.InvariantCulture, $"{Cpus[i]}");
            if (last > i) text.Append(CultureInfo.InvariantCulture, $"-{Cpus[last]}");
            i = last + 1;
        }
        return text.ToString();
    }
}
