namespace AccelerateSharp;

/// <summary>The end of a text at which a tokenizer pads or truncates.</summary>
public enum TokenizerSide
{
    /// <summary>At its end.</summary>
    Right,

    /// <summary>At its start; how prompts are padded that a decoder is to continue.</summary>
    Left,
}
