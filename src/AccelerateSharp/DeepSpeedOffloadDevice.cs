namespace AccelerateSharp;

/// <summary>Where DeepSpeed's offloading puts optimizer states or parameters.</summary>
public enum DeepSpeedOffloadDevice
{
    /// <summary>Nowhere: they stay on the device.</summary>
    None,

    /// <summary>In host memory.</summary>
    Cpu,

    /// <summary>In files.</summary>
    Nvme,
}
