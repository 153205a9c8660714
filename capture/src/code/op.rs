//! The opcodes that somebody in this crate asks about, by name.
//!
//! Numbers differ from one CPython release to the next, names hardly ever do. So the number of an
//! opcode stays in the [table](super::OpcodeTable), and everything else speaks of an [`Op`].

/// Declares [`Op`] and its way from and to CPython's names in one list.
macro_rules! ops {
    ($($variant:ident = $name:literal,)*) => {
        /// An opcode by its CPython name; [`Op::Other`] is one that nobody asks about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        #[allow(missing_docs)] // their meaning is CPython's
        pub enum Op {
            Other,
            $($variant,)*
        }

        impl Op {
            /// The opcode with this name in CPython's `opcode` module.
            pub fn named(name: &str) -> Op {
                match name {
                    $($name => Op::$variant,)*
                    _ => Op::Other,
                }
            }

            /// CPython's name; `<other>` for [`Op::Other`].
            pub fn name(self) -> &'static str {
                match self {
                    Op::Other => "<other>",
                    $(Op::$variant => $name,)*
                }
            }
        }
    };
}

ops! {
    Cache = "CACHE",
    Nop = "NOP",
    ExtendedArg = "EXTENDED_ARG",
    Resume = "RESUME",
    Reserved = "RESERVED",
    PopTop = "POP_TOP",
    PushNull = "PUSH_NULL",
    Copy = "COPY",
    Swap = "SWAP",
    RotTwo = "ROT_TWO",
    RotThree = "ROT_THREE",
    RotFour = "ROT_FOUR",
    RotN = "ROT_N",
    DupTop = "DUP_TOP",
    DupTopTwo = "DUP_TOP_TWO",
    LoadConst = "LOAD_CONST",
    LoadSmallInt = "LOAD_SMALL_INT",
    LoadCommonConstant = "LOAD_COMMON_CONSTANT",
    LoadFast = "LOAD_FAST",
    LoadFastBorrow = "LOAD_FAST_BORROW",
    LoadFastCheck = "LOAD_FAST_CHECK",
    LoadFastAndClear = "LOAD_FAST_AND_CLEAR",
    StoreFast = "STORE_FAST",
    StoreFastLoadFast = "STORE_FAST_LOAD_FAST",
    StoreFastStoreFast = "STORE_FAST_STORE_FAST",
    DeleteFast = "DELETE_FAST",
    LoadClosure = "LOAD_CLOSURE",
    LoadDeref = "LOAD_DEREF",
    StoreDeref = "STORE_DEREF",
    DeleteDeref = "DELETE_DEREF",
    MakeCell = "MAKE_CELL",
    CopyFreeVars = "COPY_FREE_VARS",
    MakeFunction = "MAKE_FUNCTION",
    SetFunctionAttribute = "SET_FUNCTION_ATTRIBUTE",
    LoadBuildClass = "LOAD_BUILD_CLASS",
    LoadAssertionError = "LOAD_ASSERTION_ERROR",
    LoadLocals = "LOAD_LOCALS",

    // Calls.
    CallFunction = "CALL_FUNCTION",
    CallFunctionKw = "CALL_FUNCTION_KW",
    CallFunctionEx = "CALL_FUNCTION_EX",
    CallMethod = "CALL_METHOD",
    Call = "CALL",
    CallKw = "CALL_KW",
    Precall = "PRECALL",
    KwNames = "KW_NAMES",

    // Operators.
    BinaryPower = "BINARY_POWER",
    BinaryMultiply = "BINARY_MULTIPLY",
    BinaryMatrixMultiply = "BINARY_MATRIX_MULTIPLY",
    BinaryModulo = "BINARY_MODULO",
    BinaryAdd = "BINARY_ADD",
    BinarySubtract = "BINARY_SUBTRACT",
    BinaryFloorDivide = "BINARY_FLOOR_DIVIDE",
    BinaryTrueDivide = "BINARY_TRUE_DIVIDE",
    BinaryLshift = "BINARY_LSHIFT",
    BinaryRshift = "BINARY_RSHIFT",
    BinaryAnd = "BINARY_AND",
    BinaryXor = "BINARY_XOR",
    BinaryOr = "BINARY_OR",
    InplacePower = "INPLACE_POWER",
    InplaceMultiply = "INPLACE_MULTIPLY",
    InplaceMatrixMultiply = "INPLACE_MATRIX_MULTIPLY",
    InplaceModulo = "INPLACE_MODULO",
    InplaceAdd = "INPLACE_ADD",
    InplaceSubtract = "INPLACE_SUBTRACT",
    InplaceFloorDivide = "INPLACE_FLOOR_DIVIDE",
    InplaceTrueDivide = "INPLACE_TRUE_DIVIDE",
    InplaceLshift = "INPLACE_LSHIFT",
    InplaceRshift = "INPLACE_RSHIFT",
    InplaceAnd = "INPLACE_AND",
    InplaceXor = "INPLACE_XOR",
    InplaceOr = "INPLACE_OR",
    BinaryOp = "BINARY_OP",
    BinarySubscr = "BINARY_SUBSCR",
    BinarySlice = "BINARY_SLICE",
    BuildSlice = "BUILD_SLICE",
    UnaryPositive = "UNARY_POSITIVE",
    UnaryNegative = "UNARY_NEGATIVE",
    UnaryNot = "UNARY_NOT",
    UnaryInvert = "UNARY_INVERT",
    CompareOp = "COMPARE_OP",
    IsOp = "IS_OP",
    ContainsOp = "CONTAINS_OP",
    ToBool = "TO_BOOL",
    CheckExcMatch = "CHECK_EXC_MATCH",
    CheckEgMatch = "CHECK_EG_MATCH",
    JumpIfNotExcMatch = "JUMP_IF_NOT_EXC_MATCH",

    // Names and attributes.
    LoadAttr = "LOAD_ATTR",
    LoadMethod = "LOAD_METHOD",
    LoadSuperAttr = "LOAD_SUPER_ATTR",
    LoadSpecial = "LOAD_SPECIAL",
    LoadName = "LOAD_NAME",
    LoadGlobal = "LOAD_GLOBAL",
    LoadClassderef = "LOAD_CLASSDEREF",
    LoadFromDictOrGlobals = "LOAD_FROM_DICT_OR_GLOBALS",
    LoadFromDictOrDeref = "LOAD_FROM_DICT_OR_DEREF",
    StoreAttr = "STORE_ATTR",
    StoreSubscr = "STORE_SUBSCR",
    StoreSlice = "STORE_SLICE",
    StoreName = "STORE_NAME",
    StoreGlobal = "STORE_GLOBAL",
    DeleteAttr = "DELETE_ATTR",
    DeleteSubscr = "DELETE_SUBSCR",
    DeleteName = "DELETE_NAME",
    DeleteGlobal = "DELETE_GLOBAL",
    SetupAnnotations = "SETUP_ANNOTATIONS",

    // Formatting and intrinsics.
    FormatValue = "FORMAT_VALUE",
    FormatSimple = "FORMAT_SIMPLE",
    FormatWithSpec = "FORMAT_WITH_SPEC",
    ConvertValue = "CONVERT_VALUE",
    BuildString = "BUILD_STRING",
    BuildTemplate = "BUILD_TEMPLATE",
    BuildInterpolation = "BUILD_INTERPOLATION",
    CallIntrinsic1 = "CALL_INTRINSIC_1",
    CallIntrinsic2 = "CALL_INTRINSIC_2",
    PrintExpr = "PRINT_EXPR",

    // Jumps.
    JumpForward = "JUMP_FORWARD",
    JumpAbsolute = "JUMP_ABSOLUTE",
    JumpBackward = "JUMP_BACKWARD",
    JumpBackwardNoInterrupt = "JUMP_BACKWARD_NO_INTERRUPT",
    PopJumpIfTrue = "POP_JUMP_IF_TRUE",
    PopJumpIfFalse = "POP_JUMP_IF_FALSE",
    PopJumpIfNone = "POP_JUMP_IF_NONE",
    PopJumpIfNotNone = "POP_JUMP_IF_NOT_NONE",
    PopJumpForwardIfTrue = "POP_JUMP_FORWARD_IF_TRUE",
    PopJumpForwardIfFalse = "POP_JUMP_FORWARD_IF_FALSE",
    PopJumpForwardIfNone = "POP_JUMP_FORWARD_IF_NONE",
    PopJumpForwardIfNotNone = "POP_JUMP_FORWARD_IF_NOT_NONE",
    PopJumpBackwardIfTrue = "POP_JUMP_BACKWARD_IF_TRUE",
    PopJumpBackwardIfFalse = "POP_JUMP_BACKWARD_IF_FALSE",
    PopJumpBackwardIfNone = "POP_JUMP_BACKWARD_IF_NONE",
    PopJumpBackwardIfNotNone = "POP_JUMP_BACKWARD_IF_NOT_NONE",
    JumpIfTrueOrPop = "JUMP_IF_TRUE_OR_POP",
    JumpIfFalseOrPop = "JUMP_IF_FALSE_OR_POP",
    NotTaken = "NOT_TAKEN",

    // Iteration, generators, coroutines.
    GetIter = "GET_ITER",
    GetYieldFromIter = "GET_YIELD_FROM_ITER",
    GetLen = "GET_LEN",
    ForIter = "FOR_ITER",
    EndFor = "END_FOR",
    PopIter = "POP_ITER",
    GetAiter = "GET_AITER",
    GetAnext = "GET_ANEXT",
    GetAwaitable = "GET_AWAITABLE",
    EndAsyncFor = "END_ASYNC_FOR",
    YieldValue = "YIELD_VALUE",
    YieldFrom = "YIELD_FROM",
    Send = "SEND",
    EndSend = "END_SEND",
    CleanupThrow = "CLEANUP_THROW",
    GenStart = "GEN_START",
    ReturnGenerator = "RETURN_GENERATOR",
    AsyncGenWrap = "ASYNC_GEN_WRAP",
    ReturnValue = "RETURN_VALUE",
    ReturnConst = "RETURN_CONST",

    // Blocks and exceptions.
    SetupFinally = "SETUP_FINALLY",
    SetupWith = "SETUP_WITH",
    SetupAsyncWith = "SETUP_ASYNC_WITH",
    PopBlock = "POP_BLOCK",
    PopExcept = "POP_EXCEPT",
    PushExcInfo = "PUSH_EXC_INFO",
    BeforeWith = "BEFORE_WITH",
    BeforeAsyncWith = "BEFORE_ASYNC_WITH",
    WithExceptStart = "WITH_EXCEPT_START",
    WithCleanupStart = "WITH_CLEANUP_START",
    WithCleanupFinish = "WITH_CLEANUP_FINISH",
    BeginFinally = "BEGIN_FINALLY",
    CallFinally = "CALL_FINALLY",
    EndFinally = "END_FINALLY",
    PopFinally = "POP_FINALLY",
    RaiseVarargs = "RAISE_VARARGS",
    Reraise = "RERAISE",
    PrepReraiseStar = "PREP_RERAISE_STAR",

    // Imports.
    ImportName = "IMPORT_NAME",
    ImportFrom = "IMPORT_FROM",
    ImportStar = "IMPORT_STAR",

    // Containers and patterns.
    BuildTuple = "BUILD_TUPLE",
    BuildList = "BUILD_LIST",
    BuildSet = "BUILD_SET",
    BuildMap = "BUILD_MAP",
    BuildConstKeyMap = "BUILD_CONST_KEY_MAP",
    ListToTuple = "LIST_TO_TUPLE",
    BuildListUnpack = "BUILD_LIST_UNPACK",
    BuildTupleUnpack = "BUILD_TUPLE_UNPACK",
    BuildTupleUnpackWithCall = "BUILD_TUPLE_UNPACK_WITH_CALL",
    BuildSetUnpack = "BUILD_SET_UNPACK",
    BuildMapUnpack = "BUILD_MAP_UNPACK",
    BuildMapUnpackWithCall = "BUILD_MAP_UNPACK_WITH_CALL",
    ListAppend = "LIST_APPEND",
    ListExtend = "LIST_EXTEND",
    SetAdd = "SET_ADD",
    SetUpdate = "SET_UPDATE",
    MapAdd = "MAP_ADD",
    DictUpdate = "DICT_UPDATE",
    DictMerge = "DICT_MERGE",
    UnpackSequence = "UNPACK_SEQUENCE",
    UnpackEx = "UNPACK_EX",
    MatchClass = "MATCH_CLASS",
    MatchKeys = "MATCH_KEYS",
    MatchMapping = "MATCH_MAPPING",
    MatchSequence = "MATCH_SEQUENCE",
    CopyDictWithoutKeys = "COPY_DICT_WITHOUT_KEYS",

    // The interpreter's own.
    InterpreterExit = "INTERPRETER_EXIT",
    ExitInitCheck = "EXIT_INIT_CHECK",
}

impl Op {
    /// Never goes on to the instruction behind it.
    pub fn ends_path(self) -> bool {
        matches!(
            self,
            Op::ReturnValue
                | Op::ReturnConst
                | Op::RaiseVarargs
                | Op::Reraise
                | Op::JumpForward
                | Op::JumpAbsolute
                | Op::JumpBackward
                | Op::JumpBackwardNoInterrupt
                | Op::InterpreterExit
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for name in [
            "CALL_FUNCTION_EX",
            "PRECALL",
            "LOAD_SPECIAL",
            "WITH_CLEANUP_START",
        ] {
            assert_eq!(Op::named(name).name(), name);
        }
        assert_eq!(Op::named("LOAD_SOMETHING_NEW"), Op::Other);
    }
}
