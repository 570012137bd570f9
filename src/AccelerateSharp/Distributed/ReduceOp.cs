namespace AccelerateSharp;

/// <summary>How a collective combines the values of the ranks.</summary>
public enum ReduceOp
{
    /// <summary>The sum over all ranks. On <c>bool</c> tensors: logical or.</summary>
    Sum,

    /// <summary>The mean over all ranks; floating-point and complex tensors only.</summary>
    Avg,

    /// <summary>The smallest value; not defined for complex tensors. On <c>bool</c> tensors: logical and.</summary>
    Min,

    /// <summary>The largest value; not defined for complex tensors. On <c>bool</c> tensors: logical or.</summary>
    Max,

    /// <summary>The product over all ranks; not defined for complex tensors. On <c>bool</c> tensors: logical and.</summary>
    Product,
}
