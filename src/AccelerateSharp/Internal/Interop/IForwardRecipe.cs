namespace AccelerateSharp.Internal.Interop;

/// <summary>What layers compute with on a thread beside autocast, and keep until a forward ends.</summary>
internal interface IForwardRecipe
{
    /// <summary>On the thread whose forward ends, also one that threw, or that backward computed again.</summary>
    void EndForward();
}
